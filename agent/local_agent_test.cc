// SPDX-License-Identifier: Apache-2.0
#include "agent/local_agent.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "device/fake/backend.h"
#include "shim/region.h"

namespace sluice::agent {
namespace {

using namespace std::chrono_literals;

// Waits for a condition, never for a time.
bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

const std::string kUuid = "GPU-00112233-4455-6677-8899-aabbccddeeff";

class LocalAgentTest : public ::testing::Test {
 protected:
  LocalAgentTest() {
    folder_ = ::testing::TempDir() + "sluice-agent-XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    gpu_ = backend_.Add(24_GiB);
    Restart();
  }
  ~LocalAgentTest() override {
    for (const pid_t child : children_) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
    agent_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Restart() {
    agent_.reset();
    LocalAgentOptions options;
    options.folder = folder_ + "/shares";
    options.interposer = "/nowhere/libsluice-cuda.so";
    options.sample_every = sample_every_;
    options.sweep_every = 10ms;
    options.mps_control = folder_ + "/mps/control";
    options.on_health = [this](const GpuId&, GpuHealth health, const std::string&) {
      health_ = health;
    };
    auto agent = StartLocalAgent(backend_, options);
    ASSERT_TRUE(agent) << agent.error().message;
    agent_ = std::move(*agent);
  }

  ShareSpec Spec(std::string claim = "clm_1", Bytes memory = 8_GiB) {
    ShareSpec spec;
    spec.claim = ClaimId(std::move(claim));
    spec.label = "a desktop";
    spec.allocations = {{gpu_, memory, ComputeMillis(300), ComputeMillis(0)}};
    spec.tenant_uid = geteuid();
    return spec;
  }

  std::string Page(const std::string& name, const std::string& claim = "clm_1") {
    return folder_ + "/shares/" + claim + "/" + name;
  }

  template <typename T>
  T* MapPage(const std::string& path) {
    const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_GE(file, 0);
    void* at = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return static_cast<T*>(at);
  }

  // A process of the share that holds so much and waits for its end.
  pid_t Hold(Bytes bytes, const std::string& claim = "clm_1") {
    const std::string path = Page("ledger", claim);
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
      auto* page = static_cast<region::LedgerPage*>(
          mmap(nullptr, sizeof(region::LedgerPage), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
      const int slot = region::TakeSlot(*page, file, 100, static_cast<uint32_t>(getpid()));
      region::Charge({page, 0, slot}, static_cast<uint64_t>(bytes.value()), region::kBytesMax);
      if (write(ready[1], "x", 1) == 1) {
        pause();
      }
      _exit(1);
    }
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    children_.push_back(child);
    return child;
  }

  void End(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    std::erase(children_, child);
  }

  Bytes Used(const std::string& claim = "clm_1") {
    auto usage = agent_->Usage(ClaimId(claim));
    return usage ? usage->devices.at(0).used : Bytes(-1);
  }

  Duration sample_every_ = 10ms;
  std::string folder_;
  device::FakeBackend backend_;
  GpuId gpu_;
  std::unique_ptr<Agent> agent_;
  std::atomic<GpuHealth> health_{GpuHealth::kHealthy};
  std::vector<pid_t> children_;
};

TEST_F(LocalAgentTest, HandsTheShareItsPartWhereMpsDividesTheCard) {
  std::filesystem::create_directories(folder_ + "/mps");
  std::ofstream(folder_ + "/mps/control") << "";
  Restart();
  const auto environment = [&](int64_t guarantee) {
    ShareSpec spec = Spec();
    spec.allocations[0].guarantee = ComputeMillis(guarantee);
    const auto prepared = agent_->Prepare(spec);
    EXPECT_TRUE(prepared);
    EXPECT_NE(
        std::ranges::find(prepared->mounts, Mount{folder_ + "/mps", "/run/sluice/mps", false}),
        prepared->mounts.end());
    EXPECT_EQ(prepared->environment.at(0), "CUDA_MPS_PIPE_DIRECTORY=/run/sluice/mps");
    return prepared->environment.at(1);
  };
  EXPECT_EQ(environment(300), "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=30");
  EXPECT_EQ(environment(5), "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=1");
  EXPECT_EQ(environment(0), "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=10");
  // The daemon is gone: nothing divides the card for the shares that come now.
  std::filesystem::remove_all(folder_ + "/mps");
  Restart();
  EXPECT_TRUE(agent_->Prepare(Spec())->environment.empty());
}

TEST_F(LocalAgentTest, WritesThePolicyThatTheSpecSays) {
  auto prepared = agent_->Prepare(Spec());
  ASSERT_TRUE(prepared) << prepared.error().message;
  const auto* policy = MapPage<region::PolicyPage>(Page("policy"));
  EXPECT_TRUE(region::IsReadable(*policy));
  EXPECT_EQ(policy->device_count, 1U);
  EXPECT_EQ(policy->devices[0].memory_limit_bytes.load(), uint64_t{8} << 30);
  EXPECT_EQ(policy->devices[0].guarantee_millis.load(), 300U);
  EXPECT_STREQ(policy->share_id, "clm_1");
  EXPECT_STREQ(policy->label, "a desktop");
  EXPECT_EQ(prepared->preload, "/run/sluice/lib/libsluice-cuda.so");
  const Mount wanted{Page("policy"), "/run/sluice/policy", false};
  EXPECT_NE(std::find(prepared->mounts.begin(), prepared->mounts.end(), wanted),
            prepared->mounts.end());
  struct stat status = {};
  ASSERT_EQ(stat(Page("ledger").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(LocalAgentTest, RefusesAnUnknownCardAndAnIdThatIsAPath) {
  ShareSpec spec = Spec();
  spec.allocations[0].gpu = GpuId("GPU-none");
  EXPECT_EQ(agent_->Prepare(spec).error().code, Code::kNotFound);
  EXPECT_EQ(agent_->Prepare(Spec("../up")).error().code, Code::kInvalidArgument);
  EXPECT_EQ(agent_->Prepare(Spec("")).error().code, Code::kInvalidArgument);
  EXPECT_EQ(agent_->Usage(ClaimId("clm_none")).error().code, Code::kNotFound);
}

TEST_F(LocalAgentTest, SaysWhichProcessHoldsWhat) {
  ASSERT_TRUE(agent_->Prepare(Spec()));
  const pid_t child = Hold(3_GiB);
  EXPECT_TRUE(Eventually([&] {
    auto usage = agent_->Usage(ClaimId("clm_1"));
    return usage && usage->processes.size() == 1 && usage->processes[0].host_pid == child;
  }));
  auto usage = agent_->Usage(ClaimId("clm_1"));
  EXPECT_EQ(usage->processes[0].memory, 3_GiB);
  EXPECT_EQ(usage->devices[0].used, 3_GiB);
  EXPECT_EQ(usage->devices[0].limit, 8_GiB);
}

TEST_F(LocalAgentTest, GivesBackWhatAKilledProcessHeld) {
  ASSERT_TRUE(agent_->Prepare(Spec()));
  const pid_t child = Hold(3_GiB);
  ASSERT_EQ(Used(), 3_GiB);
  End(child);
  EXPECT_TRUE(Eventually([&] { return Used() == Bytes(0); }));
}

TEST_F(LocalAgentTest, FindsRegionsAndProcessesAgainAfterARestart) {
  ASSERT_TRUE(agent_->Prepare(Spec()));
  const pid_t child = Hold(3_GiB);
  Restart();
  EXPECT_EQ(agent_->Prepared(), std::vector<ClaimId>{ClaimId("clm_1")});
  EXPECT_EQ(Used(), 3_GiB);
  ASSERT_TRUE(agent_->Prepare(Spec()));
  EXPECT_EQ(Used(), 3_GiB);
  EXPECT_TRUE(Eventually(
      [&] { return agent_->Usage(ClaimId("clm_1"))->processes.at(0).host_pid == child; }));
  End(child);
  EXPECT_TRUE(Eventually([&] { return Used() == Bytes(0); }));
}

TEST_F(LocalAgentTest, CountsWhatTheDriverSeesBeyondTheLedger) {
  ASSERT_TRUE(agent_->Prepare(Spec()));
  const pid_t child = Hold(1_GiB);
  backend_.SetProcesses(gpu_, {{child, 3_GiB}, {getpid(), 9_GiB}});
  EXPECT_TRUE(Eventually([&] { return Used() == 3_GiB; }));
  backend_.SetProcesses(gpu_, {{child, 1_GiB}});
  EXPECT_TRUE(Eventually([&] { return Used() == 1_GiB; }));
}

TEST_F(LocalAgentTest, LooksAgainWhenAProcessHasEnded) {
  ASSERT_TRUE(agent_->Prepare(Spec()));
  const pid_t child = Hold(1_GiB);
  backend_.SetProcesses(gpu_, {{child, 3_GiB}});
  ASSERT_TRUE(Eventually([&] { return Used() == 3_GiB; }));
  sample_every_ = std::chrono::hours(1);
  Restart();
  // Watched before it ends.
  ASSERT_TRUE(Eventually([&] {
    const auto usage = agent_->Usage(ClaimId("clm_1"));
    return usage && !usage->processes.empty() && usage->processes[0].host_pid == child;
  }));
  ASSERT_EQ(Used(), 3_GiB);
  backend_.SetProcesses(gpu_, {});
  End(child);
  EXPECT_TRUE(Eventually([&] { return Used() == Bytes(0); }));
}

TEST_F(LocalAgentTest, AddsUpHowBusyItsProcessesKeepTheCard) {
  ASSERT_TRUE(agent_->Prepare(Spec()));
  const pid_t child = Hold(1_GiB);
  backend_.SetProcesses(gpu_, {{child, 1_GiB, 40}, {getpid(), 1_GiB, 50}});
  EXPECT_TRUE(Eventually(
      [&] { return agent_->Usage(ClaimId("clm_1"))->devices[0].utilization_percent == 40; }));
}

TEST_F(LocalAgentTest, ShowsAtMostTheLimitWhateverTheLedgerSays) {
  ASSERT_TRUE(agent_->Prepare(Spec()));
  auto* ledger = MapPage<region::LedgerPage>(Page("ledger"));
  std::memset(static_cast<void*>(ledger), 0xff, sizeof(*ledger));
  EXPECT_TRUE(Eventually([&] { return Used() >= Bytes(0); }));
  EXPECT_LE(Used(), 8_GiB);
}

TEST_F(LocalAgentTest, SurvivesALedgerThatIsCutShort) {
  ASSERT_TRUE(agent_->Prepare(Spec()));
  const pid_t child = Hold(1_GiB);
  ASSERT_EQ(truncate(Page("ledger").c_str(), 0), 0);
  backend_.SetProcesses(gpu_, {{child, 2_GiB}});
  EXPECT_TRUE(Eventually(
      [&] { return std::filesystem::file_size(Page("ledger")) == sizeof(region::LedgerPage); }));
  EXPECT_TRUE(agent_->Usage(ClaimId("clm_1")));
}

TEST_F(LocalAgentTest, CutsOffWhatIsWrittenPastTheLedger) {
  ASSERT_TRUE(agent_->Prepare(Spec()));
  Hold(1_GiB);
  ASSERT_EQ(truncate(Page("ledger").c_str(), off_t{1} << 30), 0);
  EXPECT_TRUE(Eventually(
      [&] { return std::filesystem::file_size(Page("ledger")) == sizeof(region::LedgerPage); }));
  EXPECT_GE(Used(), 1_GiB);
}

TEST_F(LocalAgentTest, ResizesALiveShareButNotBelowItsUse) {
  ASSERT_TRUE(agent_->Prepare(Spec()));
  Hold(3_GiB);
  const auto* policy = MapPage<region::PolicyPage>(Page("policy"));
  const auto resize = [&](Bytes memory, int64_t guarantee) {
    return agent_->Resize(ClaimId("clm_1"),
                          {{gpu_, memory, ComputeMillis(guarantee), ComputeMillis(500)}});
  };
  ASSERT_TRUE(resize(4_GiB, 200));
  EXPECT_EQ(policy->devices[0].memory_limit_bytes.load(), uint64_t{4} << 30);
  EXPECT_EQ(policy->devices[0].guarantee_millis.load(), 200U);
  EXPECT_EQ(policy->devices[0].cap_millis.load(), 500U);
  const auto refused = resize(2_GiB, 100);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
  EXPECT_NE(refused.error().message.find("use 3 GiB now"), std::string::npos);
  EXPECT_EQ(policy->devices[0].memory_limit_bytes.load(), uint64_t{4} << 30);
  EXPECT_EQ(policy->devices[0].guarantee_millis.load(), 200U);
  EXPECT_TRUE(resize(3_GiB, 100));
  EXPECT_EQ(agent_->Resize(ClaimId("clm_1"), {}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(agent_->Resize(ClaimId("clm_2"), {}).error().code, Code::kNotFound);
}

TEST_F(LocalAgentTest, RefusesEverythingAfterRelease) {
  ASSERT_TRUE(agent_->Prepare(Spec()));
  const auto* policy = MapPage<region::PolicyPage>(Page("policy"));
  ASSERT_TRUE(agent_->Release(ClaimId("clm_1")));
  EXPECT_EQ(region::Room(policy->devices[0]), 0U);
  EXPECT_FALSE(std::filesystem::exists(Page("policy")));
  EXPECT_TRUE(agent_->Prepared().empty());
  EXPECT_TRUE(agent_->Release(ClaimId("clm_1")));
}

TEST_F(LocalAgentTest, TellsOfACardThatFellOffTheBus) {
  backend_.SetLost(gpu_, "fell off the bus");
  EXPECT_TRUE(Eventually([&] { return health_ == GpuHealth::kUnhealthy; }));
  EXPECT_EQ(agent_->Cards()->at(0).gpu.health, GpuHealth::kUnhealthy);
  backend_.SetLost(gpu_, "");
  EXPECT_TRUE(Eventually([&] { return health_ == GpuHealth::kHealthy; }));
}

TEST_F(LocalAgentTest, LeavesABrokenFolderAlone) {
  std::filesystem::create_directories(folder_ + "/shares/clm_broken");
  std::ofstream(folder_ + "/shares/clm_broken/policy") << "short";
  std::ofstream(folder_ + "/shares/clm_broken/ledger") << "short";
  Restart();
  EXPECT_TRUE(agent_->Prepared().empty());
  ASSERT_TRUE(agent_->Prepare(Spec("clm_broken")));
  EXPECT_EQ(agent_->Prepared().size(), 1U);
}

}  // namespace
}  // namespace sluice::agent
