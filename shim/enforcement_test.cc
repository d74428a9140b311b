// SPDX-License-Identifier: Apache-2.0
// The interposer as programs meet it: real processes, preloaded, in front of simulated cards.
#include <signal.h>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/random.h"
#include "model/pool.h"
#include "shim/share_box.h"

namespace sluice::shim {
namespace {

const std::string kProbe = std::string(SLUICE_BUILD_DIR) + "/tests/shim_probe";
constexpr uint64_t kMib = 1 << 20;
constexpr uint64_t kGib = uint64_t{1} << 30;

std::vector<std::string> Routes(ShareBox& box) {
  std::istringstream lines(box.Run({kProbe, "dlsym", "routes"}).output);
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    names.push_back(line);
  }
  return names;
}

TEST(EveryRoute, IsRefusedTenGibibytesUnderOne) {
  ShareBox box;
  const auto routes = Routes(box);
  ASSERT_GT(routes.size(), 10U);
  for (const std::string& route : routes) {
    // The historic forms have 32-bit sizes: 3 GiB is as far as they go.
    const bool historic = route == "cuMemAlloc" || route == "cuMemAllocPitch";
    const uint64_t bytes = historic ? 3 * kGib : 10 * kGib;
    const auto answer = box.Run({kProbe, "dlsym", "route", route, std::to_string(bytes)}).output;
    // Or the driver has no such call.
    EXPECT_TRUE(answer == "2\n" || answer == box.Missing() + std::string("\n"))
        << route << ": " << answer;
  }
  EXPECT_EQ(region::Total(box.ledger(), 0), 0U);
  EXPECT_GE(box.ledger().devices[0].refused.load(), 10U);
}

TEST(EveryRoute, GivesBackAllThatItTook) {
  ShareBox box;
  for (const std::string& route : Routes(box)) {
    auto started = box.Start({kProbe, "dlsym", "cycle", route, std::to_string(600 * kMib)});
    const std::string answer = ShareBox::ReadLine(started.from);
    const std::string missing = std::string(box.Missing()) + " 0 at 0";
    EXPECT_TRUE(answer == "0" || answer == missing) << route << ": " << answer;
    EXPECT_LE(region::Total(box.ledger(), 0), 64 * kMib) << route;
    EXPECT_EQ(box.Finish(started), answer == "0" ? 0 : 1) << route;
  }
}

TEST(EveryLookUp, ArrivesAtTheLimit) {
  ShareBox box;
  for (const char* way : {"dlsym", "dlvsym", "default", "next", "procaddress", "procaddress1"}) {
    for (const char* route : {"cuMemAlloc_v2", "cuMemAllocManaged", "cuMemAllocPitch_v2"}) {
      EXPECT_EQ(box.Run({kProbe, way, "route", route, std::to_string(10 * kGib)}).output, "2\n")
          << way << " " << route;
      EXPECT_EQ(box.Run({kProbe, way, "route", route, std::to_string(10 * kMib)}).output, "0\n")
          << way << " " << route;
    }
  }
}

TEST(EveryLookUp, ByTheLoaderToo) {
  ShareBox box;
  const std::string linked = std::string(SLUICE_BUILD_DIR) + "/tests/shim_linked_probe";
  for (const std::vector<std::string>& environment :
       {std::vector<std::string>{}, std::vector<std::string>{"LD_BIND_NOW=1"}}) {
    EXPECT_EQ(box.Run({linked, std::to_string(10 * kGib)}, environment).output, "2\n");
    EXPECT_EQ(box.Run({linked, std::to_string(10 * kMib)}, environment).output, "0\n");
  }
}

TEST(TheEnvironment, ChangesNothing) {
  ShareBox box;
  for (const char* variable : {"CUDA_DISABLE_CONTROL=true",
                               "LD_PRELOAD=",
                               "SLUICE_LIMIT=0",
                               "CUDA_VISIBLE_DEVICES=0",
                               "LD_BIND_NOW=1"}) {
    EXPECT_EQ(
        box.Run({kProbe, "dlsym", "route", "cuMemAlloc_v2", std::to_string(10 * kGib)}, {variable})
            .output,
        "2\n")
        << variable;
  }
  const auto cleared = box.Run(
      {"/usr/bin/env", "-i", kProbe, "dlsym", "route", "cuMemAlloc_v2", std::to_string(10 * kGib)});
  EXPECT_EQ(cleared.output, "2\n");
}

TEST(Views, ShowTheShare) {
  ShareBox box;
  EXPECT_EQ(box.Run({kProbe, "dlsym", "info"}).output, "0 1073741824 1073741824 0 1073741824\n");
  auto holder = box.Start({kProbe, "dlsym", "hold", std::to_string(256 * kMib)});
  ASSERT_EQ(ShareBox::ReadLine(holder.from), "0");
  EXPECT_EQ(box.Run({kProbe, "dlsym", "info"}).output, "0 805306368 1073741824 0 1073741824\n");
  box.policy().devices[0].overhead_bytes = 900 * kMib;
  EXPECT_EQ(box.Run({kProbe, "dlsym", "info"}).output, "0 0 1073741824 0 1073741824\n");
  box.Finish(holder);
}

TEST(Views, ShowTheShareThroughNvml) {
  ShareBox box;
  auto holder = box.Start({kProbe, "dlsym", "hold", std::to_string(256 * kMib)});
  ASSERT_EQ(ShareBox::ReadLine(holder.from), "0");
  const auto seen = box.Run({kProbe, "dlsym", "nvml"}).output;
  EXPECT_EQ(seen,
            "0 1073741824 805306368 268435456\n0 1073741824 805306368 268435456\n7 1 1 " +
                std::to_string(holder.pid) + ":268435456\n");
  // Who only looks is not counted among the share's processes.
  EXPECT_EQ(region::NextTaken(box.ledger(), region::NextTaken(box.ledger(), 0) + 1), -1);
  box.Finish(holder);
}

TEST(ManyProcesses, NeverHoldMoreThanTheShareTogether) {
  ShareBox box;
  std::vector<ShareBox::Started> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(box.Start({kProbe, "dlsym", "fill", std::to_string(10 * kMib)}));
  }
  uint64_t blocks = 0;
  for (auto& started : all) {
    const std::string line = ShareBox::ReadLine(started.from);
    ASSERT_TRUE(line.starts_with("2 ")) << line;
    blocks += std::stoull(line.substr(2));
  }
  EXPECT_EQ(blocks, 102U);
  EXPECT_EQ(region::Total(box.ledger(), 0), blocks * 10 * kMib);
  EXPECT_LE(box.ledger().devices[0].peak_bytes.load(), kGib);
  for (auto& started : all) {
    EXPECT_EQ(box.Finish(started), 0);
  }
}

TEST(ManyProcesses, GetBackWhatAKilledOneHeldWithoutAnAgent) {
  const uint64_t seed = SystemRandom().Next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  SeededRandom random(seed);
  ShareBox box;
  for (int round = 0; round < 100; ++round) {
    auto churn = box.Start({kProbe, "dlsym", "churn", std::to_string(random.Next() % 1'000'000)});
    ASSERT_FALSE(ShareBox::ReadLine(churn.from).empty());
    for (uint64_t spin = random.Next() % 200'000; spin > 0; --spin) {
      asm volatile("");
    }
    box.Kill(churn);
  }
  // The next process needs all of it, and finds the dead by itself.
  auto holder = box.Start({kProbe, "dlsym", "hold", std::to_string(kGib)});
  EXPECT_EQ(ShareBox::ReadLine(holder.from), "0");
  EXPECT_EQ(region::Total(box.ledger(), 0), kGib);
  EXPECT_LE(box.ledger().devices[0].peak_bytes.load(), kGib);
  box.Finish(holder);
}

TEST(ManyThreads, LeaveNothingBehind) {
  ShareBox box;
  auto program = box.Start({kProbe, "dlsym", "threads"});
  EXPECT_EQ(ShareBox::ReadLine(program.from), "0");
  EXPECT_EQ(region::Total(box.ledger(), 0), 0U);
  EXPECT_LE(box.ledger().devices[0].peak_bytes.load(), kGib);
  EXPECT_EQ(box.Finish(program), 0);
}

TEST(AFreeBehindAKernel, MakesRoomForTheNextAllocation) {
  for (const char* route :
       {"cuMemAllocAsync", "cuMemAlloc_v2", "cuMemCreate", "cuArrayCreate_v2"}) {
    ShareBox box;
    auto program = box.Start({kProbe, "dlsym", "ordered", route, std::to_string(600 * kMib)});
    EXPECT_EQ(ShareBox::ReadLine(program.from), "0") << route;
    EXPECT_EQ(region::Total(box.ledger(), 0), 600 * kMib) << route;
    EXPECT_LE(box.ledger().devices[0].peak_bytes.load(), kGib) << route;
    EXPECT_EQ(box.Finish(program), 0) << route;
  }
}

TEST(AChild, DoesNotKeepItsDeadParentsMemory) {
  ShareBox box;
  auto parent = box.Start({kProbe, "dlsym", "fork"});
  ASSERT_EQ(ShareBox::ReadLine(parent.from), "0");
  EXPECT_EQ(region::Total(box.ledger(), 0), 300 * kMib);
  const int slot = region::NextTaken(box.ledger(), 0);
  EXPECT_FALSE(region::ReclaimIfDead(box.ledger(), box.ledger_file(), slot));
  kill(parent.pid, SIGKILL);
  siginfo_t info = {};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(parent.pid), &info, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(region::ReclaimIfDead(box.ledger(), box.ledger_file(), slot));
  EXPECT_EQ(region::Total(box.ledger(), 0), 0U);
  box.Finish(parent);
}

TEST(ACard, ThatIsNotInTheShareHoldsNothing) {
  ShareBox box;
  box.policy().devices[0].uuid[3] ^= 0x55;
  EXPECT_EQ(box.Run({kProbe, "dlsym", "route", "cuMemAlloc_v2", "1024"}).output, "2\n");
  EXPECT_EQ(box.Run({kProbe, "dlsym", "info"}).output, "0 0 0 0 0\n");
}

TEST(ARevokedShare, RefusesEverything) {
  ShareBox box;
  box.policy().devices[0].flags = region::kFlagRevoked;
  EXPECT_EQ(box.Run({kProbe, "dlsym", "route", "cuMemAlloc_v2", "1024"}).output, "2\n");
}

TEST(ABrokenLedger, RefusesInsteadOfForgettingTheLimit) {
  ShareBox box;
  box.ledger().magic = 0;
  EXPECT_EQ(box.Run({kProbe, "dlsym", "route", "cuMemAlloc_v2", "1024"}).output, "2\n");
}

TEST(AContext, IsChargedWithTheFirstAllocation) {
  ShareBox box({.context = MiB(400)});
  EXPECT_EQ(box.Run({kProbe, "dlsym", "route", "cuMemAlloc_v2", std::to_string(700 * kMib)}).output,
            "2\n");
  auto holder = box.Start({kProbe, "dlsym", "hold", std::to_string(600 * kMib)});
  EXPECT_EQ(ShareBox::ReadLine(holder.from), "0");
  EXPECT_EQ(region::Total(box.ledger(), 0), 1000 * kMib);
  box.Finish(holder);
}

TEST(TheSmallestShare, HoldsAProgram) {
  ShareBox box({.limit = Pool().share_memory_min, .context = kContextMemory});
  auto holder = box.Start({kProbe, "dlsym", "hold", std::to_string(112 * kMib)});
  EXPECT_EQ(ShareBox::ReadLine(holder.from), "0");
  box.Finish(holder);
}

TEST(AProgramWithoutCuda, TakesNoSlotAndOpensNoPage) {
  ShareBox box;
  EXPECT_EQ(box.Run({"/bin/sh", "-c", "echo hello"}).output, "hello\n");
  for (const region::Slot& slot : box.ledger().slots) {
    ASSERT_EQ(slot.pid.load(), 0U);
    ASSERT_EQ(slot.generation.load(), 0U);
  }
}

TEST(AProgramOutsideAnyShare, IsLeftAlone) {
  ShareBox box({.shared = false});
  EXPECT_EQ(box.Run({kProbe, "dlsym", "route", "cuMemAlloc_v2", std::to_string(10 * kGib)}).output,
            "0\n");
}

}  // namespace
}  // namespace sluice::shim
