// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/vcuda/scene.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <poll.h>
#include <thread>
#include <unistd.h>

#include "device/nvidia/backend.h"

namespace sluice::bench {
namespace {

using namespace std::chrono_literals;
using shim::ShareBox;

const std::string kBuild = SLUICE_BUILD_DIR;
const std::string kWorker = kBuild + "/bench/vcuda_bench_worker";
const std::string kProbe = kBuild + "/tests/shim_probe";
constexpr Bytes kMemory{int64_t{4} << 30};
constexpr int kReadyMs = 20'000;

[[noreturn]] void Give(const std::string& why) {
  fprintf(stderr, "bench_vcuda: %s\n", why.c_str());
  exit(1);
}

ShareBox::Options BoxOptions(const Side& side) {
  ShareBox::Options options;
  options.shared = side.kind == Side::Kind::kOurs;
  options.peer_library = side.library;
  return options;
}

std::string Filled(std::string text, const std::string& mark, const std::string& value) {
  for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += value.size()) {
    text.replace(at, mark.size(), value);
  }
  return text;
}

}  // namespace

Scene::Scene(const Side& side) : side_(side), box_(std::make_unique<ShareBox>(BoxOptions(side))) {
  auto truth = simgpu::Truth::Open(box_->state_folder());
  if (!truth) Give(truth.error().message);
  truth_.emplace(std::move(*truth));
  if (side.kind != Side::Kind::kOurs) return;
  device::nvidia::Options device;
  device.library = kBuild + "/lib/simgpu/libnvidia-ml.so.1";
  device.simulated_state = box_->state_folder();
  auto backend = device::nvidia::Open(device);
  if (!backend) Give(backend.error().message);
  backend_ = std::move(*backend);
  agent::LocalAgentOptions options;
  options.folder = box_->folder() + "/shares";
  options.interposer = kBuild + "/lib/libsluice-cuda.so";
  auto started = agent::StartLocalAgent(*backend_, options);
  if (!started) Give(started.error().message);
  agent_ = std::move(*started);
}

Scene::~Scene() = default;

void Scene::Enter(size_t tenant) {
  if (agent_ != nullptr) box_->UseRegion(box_->folder() + "/shares/" + ShareOf(tenant));
}

std::vector<std::string> Scene::EnvironmentOf(size_t tenant) const {
  std::vector<std::string> all;
  for (std::string text : side_.environment) {
    text = Filled(std::move(text), "{percent}", std::to_string(tenants_[tenant].percent));
    text = Filled(std::move(text), "{mib}", std::to_string(kMemory.value() >> 20));
    text = Filled(std::move(text), "{uuid}", box_->Uuid(0));
    all.push_back(Filled(std::move(text), "{share}", std::to_string(tenant)));
  }
  return all;
}

std::optional<size_t> Scene::Add(int64_t percent) {
  const size_t place = tenants_.size();
  tenants_.push_back({percent, {}});
  if (agent_ != nullptr) {
    agent::ShareSpec spec;
    spec.claim = ClaimId(ShareOf(place));
    spec.allocations = {
        {GpuId(box_->Uuid(0)), kMemory, ComputeMillis(10 * percent), ComputeMillis(0)}};
    spec.tenant_uid = geteuid();
    if (auto prepared = agent_->Prepare(spec); !prepared) Give(prepared.error().message);
  }
  // A peer that keeps its share's limits here makes them from each program's variables.
  std::error_code ignored;
  std::filesystem::remove_all(box_->folder() + "/etc/vgpu-manager", ignored);
  Enter(place);
  Tenant& tenant = tenants_.back();
  tenant.program = box_->Start({kWorker}, EnvironmentOf(place));
  pollfd wait = {tenant.program.from, POLLIN, 0};
  const bool ready =
      poll(&wait, 1, kReadyMs) == 1 && ShareBox::ReadLine(tenant.program.from) == "ready";
  if (ready) return place;
  if (side_.kind != Side::Kind::kPeer) Give("a program did not get ready");
  box_->Kill(tenant.program);
  return std::nullopt;
}

void Scene::Tell(size_t tenant, const std::string& line) {
  const std::string text = line + "\n";
  if (write(tenants_[tenant].program.to, text.data(), text.size()) < 0) Give("a program is gone");
}

std::string Scene::Hear(size_t tenant) {
  return ShareBox::ReadLine(tenants_[tenant].program.from);
}

void Scene::Kill(size_t tenant) {
  box_->Kill(tenants_[tenant].program);
}

bool Scene::CanAllocate(size_t tenant, Bytes bytes) {
  std::error_code ignored;
  std::filesystem::remove_all(box_->folder() + "/etc/vgpu-manager", ignored);
  Enter(tenant);
  const auto outcome =
      box_->Run({kProbe, "dlsym", "route", "cuMemAlloc_v2", std::to_string(bytes.value())},
                EnvironmentOf(tenant));
  return outcome.output == "0\n";
}

Seconds Scene::Busy(size_t tenant) {
  for (const simgpu::ProcessTruth& process : truth_->Read(0).processes) {
    if (process.pid == tenants_[tenant].program.pid) return process.busy;
  }
  return Seconds(0);
}

std::vector<double> Scene::Parts(Seconds window) {
  std::vector<double> parts;
  const auto begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < tenants_.size(); ++i) parts.push_back(Busy(i).count());
  std::this_thread::sleep_for(window);
  for (size_t i = 0; i < tenants_.size(); ++i) parts[i] = Busy(i).count() - parts[i];
  const Seconds passed = std::chrono::steady_clock::now() - begin;
  for (double& part : parts) part = 100 * part / passed.count();
  return parts;
}

}  // namespace sluice::bench
