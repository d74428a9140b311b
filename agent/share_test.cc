// SPDX-License-Identifier: Apache-2.0
// Agent, interposer and simulated cards together, with programs that count processes for themselves
// as they do in a sandbox.
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>
#include <unistd.h>

#include "agent/internal/testing/simulated.h"
#include "agent/local_agent.h"
#include "base/random.h"
#include "shim/share_box.h"

namespace sluice::agent {
namespace {

using namespace std::chrono_literals;
using shim::ShareBox;
using testing::Eventually;

const std::string kBuild = SLUICE_BUILD_DIR;
const std::string kProbe = kBuild + "/tests/shim_probe";
const std::string kInside = kBuild + "/tests/agent_inside_probe";
constexpr uint64_t kMib = 1 << 20;

class ShareTest : public ::testing::Test {
 protected:
  ShareTest() : box_(testing::OfOwnPids("2x24GiB")) {
    backend_ = testing::OpenCards(box_);
    agent_ = testing::StartAgent(box_, *backend_);
    ShareSpec spec;
    spec.claim = kClaim;
    spec.label = "Li Na's compile desktop";
    // The second card: what is first inside need not be first on the machine.
    spec.allocations = {{GpuId(box_.Uuid(1)), 2_GiB, ComputeMillis(0), ComputeMillis(0)}};
    spec.tenant_uid = geteuid();
    auto prepared = agent_->Prepare(spec);
    EXPECT_TRUE(prepared) << prepared.error().message;
    prepared_ = *prepared;
    box_.UseRegion(box_.folder() + "/shares/" + kClaim.text());
  }

  // What the policy page charges for a process's first context.
  Bytes ContextPrice() {
    const std::string path = box_.folder() + "/shares/" + kClaim.text() + "/policy";
    uint64_t price = 0;
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    constexpr size_t kAt =
        offsetof(region::PolicyPage, devices) + offsetof(region::PolicyDevice, context_bytes);
    EXPECT_EQ(pread(file, &price, sizeof(price), kAt), static_cast<ssize_t>(sizeof(price)));
    close(file);
    return Bytes(static_cast<int64_t>(price));
  }

  // Without what the agent adds.
  Bytes LedgerTotal() {
    const std::string path = box_.folder() + "/shares/" + kClaim.text() + "/ledger";
    uint64_t word = 0;
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(pread(file, &word, sizeof(word), offsetof(region::LedgerPage, devices)),
              static_cast<ssize_t>(sizeof(word)));
    close(file);
    return Bytes(static_cast<int64_t>(region::WordBytes(word)));
  }

  DeviceUsage Usage() { return agent_->Usage(kClaim)->devices.at(0); }

  const ClaimId kClaim{"clm_share"};
  ShareBox box_;
  std::unique_ptr<device::Backend> backend_;
  std::unique_ptr<Agent> agent_;
  PreparedShare prepared_;
};

TEST_F(ShareTest, SaysWhatASandboxNeeds) {
  const std::vector<std::string> libraries{"/run/sluice/simgpu/lib"};
  EXPECT_EQ(prepared_.library_dirs, libraries);
  std::vector<std::string> targets;
  for (const Mount& mount : prepared_.mounts) {
    EXPECT_TRUE(std::filesystem::exists(mount.source)) << mount.source;
    targets.push_back(mount.target);
  }
  for (const char* target : {"/run/sluice/policy",
                             "/run/sluice/ledger",
                             "/run/sluice/lib/libsluice-cuda.so",
                             "/run/sluice/simgpu/lib",
                             "/run/sluice/simgpu/state",
                             "/run/sluice/simgpu/visible"}) {
    EXPECT_NE(std::find(targets.begin(), targets.end(), target), targets.end()) << target;
  }
}

TEST_F(ShareTest, HoldsProgramsToTheirCardAndLimit) {
  // A context of 400 MiB is assumed before one was measured.
  EXPECT_EQ(box_.Run({kProbe, "dlsym", "info"}).output, "0 2147483648 2147483648 0 2147483648\n");
  EXPECT_EQ(
      box_.Run({kProbe, "dlsym", "route", "cuMemAlloc_v2", std::to_string(2048 * kMib)}).output,
      "2\n");
  // The context of a program that has ended is overhead until the agent's next look.
  EXPECT_TRUE(Eventually([&] { return Usage().used == Bytes(0); }));
  EXPECT_EQ(
      box_.Run({kProbe, "dlsym", "route", "cuMemAlloc_v2", std::to_string(1600 * kMib)}).output,
      "0\n");
}

TEST_F(ShareTest, NamesProcessesByHostAndInnerNumberAndLearnsTheirContext) {
  auto holder = box_.Start({kProbe, "dlsym", "hold", std::to_string(1024 * kMib)});
  ASSERT_EQ(ShareBox::ReadLine(holder.from), "0");
  EXPECT_TRUE(Eventually([&] {
    auto usage = agent_->Usage(kClaim);
    return usage->processes.size() == 1 && usage->processes[0].host_pid > 1;
  }));
  auto usage = agent_->Usage(kClaim);
  EXPECT_EQ(usage->processes[0].inner_pid, 1);
  EXPECT_EQ(usage->processes[0].command, "shim_probe");
  EXPECT_EQ(usage->processes[0].memory, 1424_MiB);
  EXPECT_TRUE(Eventually([&] { return ContextPrice() == 300_MiB; }));
  box_.Finish(holder);
  EXPECT_TRUE(Eventually([&] { return Usage().used == Bytes(0); }));
  // The next one is charged what the first one's context took.
  auto second = box_.Start({kProbe, "dlsym", "hold", std::to_string(1024 * kMib)});
  ASSERT_EQ(ShareBox::ReadLine(second.from), "0");
  EXPECT_EQ(Usage().used, 1324_MiB);
  box_.Finish(second);
}

TEST_F(ShareTest, FindsWhatWentRoundTheInterposer) {
  auto known = box_.Start({kProbe, "dlsym", "hold", std::to_string(256 * kMib)});
  ASSERT_EQ(ShareBox::ReadLine(known.from), "0");
  // The tenant overwrites its ledger: it holds nothing, it says.
  ASSERT_TRUE(Eventually([&] { return agent_->Usage(kClaim)->processes.size() == 1; }));
  region::LedgerPage forged = {};
  const std::string ledger = box_.folder() + "/shares/" + kClaim.text() + "/ledger";
  const int file = open(ledger.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(
      pwrite(file, &forged.devices, sizeof(forged.devices), offsetof(region::LedgerPage, devices)),
      static_cast<ssize_t>(sizeof(forged.devices)));
  close(file);
  // 256 MiB and a context of 300, as the driver knows.
  EXPECT_TRUE(Eventually([&] { return Usage().used >= 556_MiB; }));
  box_.Finish(known);
  EXPECT_TRUE(Eventually([&] { return Usage().used == Bytes(0); }));
}

// What the driver says that programs hold, contexts and all.
Bytes DriverTruth(device::Backend& backend) {
  Bytes sum;
  const auto cards = backend.Read();
  EXPECT_TRUE(cards);
  for (const device::Card& card : *cards) {
    for (const device::ProcessUse& process : card.processes) {
      sum += process.memory;
    }
  }
  return sum;
}

TEST_F(ShareTest, AgreesWithTheDriverAfterAnySequenceOfCalls) {
  const uint64_t first_seed = SystemRandom().Next() % 1'000'000;
  for (uint64_t seed = first_seed; seed < first_seed + 20; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    auto program = box_.Start({kProbe, "dlsym", "random", std::to_string(seed)});
    ASSERT_TRUE(ShareBox::ReadLine(program.from).ends_with(" held"));
    const Bytes context = 300_MiB;
    const Bytes assumed = 400_MiB;
    const Bytes truth = DriverTruth(*backend_);
    const Bytes ledger = LedgerTotal();
    // The first program is charged the assumed context, later ones what was learnt.
    EXPECT_TRUE(ledger == truth || ledger == truth - context + assumed)
        << ToText(ledger) << " in the ledger, the driver says " << ToText(truth);
    EXPECT_LE(truth, 2_GiB);
    ASSERT_EQ(write(program.to, "x", 1), 1);
    ASSERT_EQ(ShareBox::ReadLine(program.from), "free");
    EXPECT_LE(LedgerTotal(), assumed);
    box_.Finish(program);
    // The next one is compared alone.
    ASSERT_TRUE(Eventually([&] { return LedgerTotal() == Bytes(0); }));
  }
}

TEST_F(ShareTest, GivesBackAKilledProcessesMemory) {
  auto holder = box_.Start({kProbe, "dlsym", "hold", std::to_string(1024 * kMib)});
  ASSERT_EQ(ShareBox::ReadLine(holder.from), "0");
  ASSERT_GE(Usage().used, 1024_MiB);
  box_.Kill(holder);
  EXPECT_TRUE(Eventually([&] { return Usage().used == Bytes(0); }));
}

TEST_F(ShareTest, TellsAProgramInsideWhatItMayHold) {
  auto holder = box_.Start({kProbe, "dlsym", "hold", std::to_string(1024 * kMib)});
  ASSERT_EQ(ShareBox::ReadLine(holder.from), "0");
  const auto look = box_.Run({kInside, "look"});
  EXPECT_EQ(look.status, 0);
  EXPECT_NE(look.output.find("label Li Na's compile desktop"), std::string::npos) << look.output;
  EXPECT_NE(look.output.find("limit 2147483648 used"), std::string::npos) << look.output;
  EXPECT_NE(look.output.find("simulated 1"), std::string::npos) << look.output;
  EXPECT_NE(look.output.find("process 1 shim_probe 1493172224"), std::string::npos) << look.output;
  box_.Finish(holder);
}

TEST_F(ShareTest, TestsTheDriverFromInside) {
  const auto test = box_.Run({kInside, "test"});
  EXPECT_EQ(test.status, 0) << test.output;
  EXPECT_NE(test.output.find("simulated"), std::string::npos) << test.output;
  EXPECT_NE(test.output.find("pass be refused more than there is"), std::string::npos)
      << test.output;
}

}  // namespace
}  // namespace sluice::agent
