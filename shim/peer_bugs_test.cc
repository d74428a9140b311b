// SPDX-License-Identifier: Apache-2.0
// The fourteen kinds of fault that users reported of HAMi-core, the interposer that others use:
// each is a test of ours here, by the number under which the project's notes list it. Where a suite
// of its own covers more of it, the comment names that.
#include <atomic>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/random.h"
#include "shim/share_box.h"

namespace sluice::shim {
namespace {

const std::string kTests = std::string(SLUICE_BUILD_DIR) + "/tests";
const std::string kProbe = kTests + "/shim_probe";
const std::string kEdge = kTests + "/shim_edge_probe";
const std::string kGate = kTests + "/shim_gate_probe";
constexpr uint64_t kMib = 1 << 20;
const std::string kTen = std::to_string(uint64_t{10} << 30);
const std::string kLittle = std::to_string(2 * kMib);

std::vector<std::string> Route(const std::string& route, const std::string& bytes) {
  return {kProbe, "dlsym", "route", route, bytes};
}

// A second card of another limit.
void AddSecondCard(ShareBox& box, uint64_t limit) {
  region::PolicyDevice& second = box.policy().devices[1];
  ASSERT_TRUE(region::ParseUuid(box.Uuid(1).c_str(), second.uuid));
  second.memory_limit_bytes = limit;
  box.policy().device_count = 2;
}

int SlotOf(ShareBox& box, pid_t pid) {
  for (int slot = region::NextTaken(box.ledger(), 0); slot >= 0;
       slot = region::NextTaken(box.ledger(), slot + 1)) {
    if (box.ledger().slots[slot].pid == static_cast<uint32_t>(pid)) return slot;
  }
  return -1;
}

std::string Tell(ShareBox::Started& program, const std::string& line) {
  const std::string text = line + "\n";
  EXPECT_EQ(write(program.to, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return ShareBox::ReadLine(program.from);
}

// 1: others wait without end for the lock of a process that was killed or stands still. More: the
// ledger's property test, region_kill_test.
TEST(PeersBug01, NobodyWaitsForAProcessThatStandsStill) {
  SeededRandom random(SystemRandom().Next());
  ShareBox box;
  for (int round = 0; round < 10; ++round) {
    auto churn = box.Start({kProbe, "dlsym", "churn", std::to_string(random.Next() % 1'000'000)});
    ASSERT_FALSE(ShareBox::ReadLine(churn.from).empty());
    kill(churn.pid, SIGSTOP);
    ASSERT_EQ(waitpid(churn.pid, nullptr, WUNTRACED), churn.pid);
    const std::string answer = box.Run(Route("cuMemAlloc_v2", kLittle)).output;
    // It may hold all there is; an answer is what counts.
    EXPECT_TRUE(answer == "0\n" || answer == "2\n") << answer;
    box.Kill(churn);
  }
  EXPECT_EQ(box.Run(Route("cuMemAlloc_v2", std::to_string(1024 * kMib))).output, "0\n");
}

// 2: programs start one after the other, each looking for its number on the host; and it is wrong
// on any card but the first. Ours asks nobody: one that stands still in its start holds up none.
TEST(PeersBug02, ProgramsStartTogetherAndAreKnownOnEveryCard) {
  ShareBox box(
      {.fleet = "2x24GiB", .scene = [](simgpu::Scene& scene) { scene.call_delay_us = 1000; }});
  AddSecondCard(box, 1024 * kMib);
  std::vector<ShareBox::Started> all;
  for (int i = 0; i < 16; ++i) {
    all.push_back(box.Start({kProbe, "dlsym", "hold", kLittle}, {"CUDA_VISIBLE_DEVICES=1"}));
  }
  for (auto& program : all) {
    EXPECT_EQ(ShareBox::ReadLine(program.from), "0");
    const int slot = SlotOf(box, program.pid);
    ASSERT_GE(slot, 0);
    EXPECT_EQ(region::OwnerPid(box.ledger_file(), slot), program.pid);
    EXPECT_EQ(region::Held(box.ledger(), 1, slot), 2 * kMib);
    EXPECT_EQ(region::Held(box.ledger(), 0, slot), 0U);
  }
  for (auto& program : all) EXPECT_EQ(box.Finish(program), 0);
}

// 3: a slot that moves when another goes leaves its owner writing into a stranger's.
TEST(PeersBug03, ASlotStaysItsOwnersWhenOthersEnd) {
  ShareBox box;
  std::vector<ShareBox::Started> all;
  std::vector<int> slots;
  for (int i = 0; i < 4; ++i) {
    all.push_back(box.Start({kProbe, "dlsym", "random", std::to_string(i)}));
    ASSERT_TRUE(ShareBox::ReadLine(all.back().from).ends_with("held"));
    slots.push_back(SlotOf(box, all.back().pid));
  }
  box.Kill(all[0]);
  EXPECT_EQ(box.Finish(all[2]), 1);
  for (const size_t i : {size_t{0}, size_t{2}}) {
    EXPECT_TRUE(region::ReclaimIfDead(box.ledger(), box.ledger_file(), slots[i]));
  }
  for (const size_t i : {size_t{1}, size_t{3}}) {
    EXPECT_EQ(SlotOf(box, all[i].pid), slots[i]);
    EXPECT_EQ(write(all[i].to, "x", 1), 1);
    EXPECT_EQ(ShareBox::ReadLine(all[i].from), "free");
    EXPECT_EQ(region::Held(box.ledger(), 0, slots[i]), 0U);
    EXPECT_EQ(box.Finish(all[i]), 0);
  }
  EXPECT_EQ(region::Total(box.ledger(), 0), 0U);
}

// 4: with some cards made invisible the limit of another card holds, and only the first card's use
// is seen.
TEST(PeersBug04, ASubsetOfTheCardsKeepsItsLimits) {
  ShareBox box({.fleet = "2x24GiB"});
  AddSecondCard(box, 256 * kMib);
  const std::string half = std::to_string(512 * kMib);
  for (const auto& [visible, answer] : {std::pair{"0", "0\n"},
                                        std::pair{"1", "2\n"},
                                        std::pair{"1,0", "2\n"},
                                        std::pair{"0,1", "0\n"}}) {
    EXPECT_EQ(
        box.Run(Route("cuMemAlloc_v2", half), {std::string("CUDA_VISIBLE_DEVICES=") + visible})
            .output,
        answer)
        << visible;
  }
  auto worker = box.Start({kGate}, {"CUDA_VISIBLE_DEVICES=1"});
  ASSERT_EQ(ShareBox::ReadLine(worker.from), "ready");
  EXPECT_EQ(Tell(worker, "do kernel 20 100"), "0");
  const region::Slot& slot = box.ledger().slots[SlotOf(box, worker.pid)];
  EXPECT_GT(slot.devices[1].submitted_ns.load(), 0U);
  EXPECT_EQ(slot.devices[0].submitted_ns.load(), 0U);
  EXPECT_EQ(box.Finish(worker), 0);
}

// 5: a cap that depends on how many processors a card and how many blocks a launch has, so that it
// does not hold. Ours counts time: a launch of 2^32 blocks costs what it lasts. More:
// agent_arbiter_test.
TEST(PeersBug05, ALaunchCostsItsTimeWhateverItsGrid) {
  ShareBox box;
  auto worker = box.Start({kGate});
  ASSERT_EQ(ShareBox::ReadLine(worker.from), "ready");
  const region::SlotDevice& work = box.ledger().slots[SlotOf(box, worker.pid)].devices[0];
  for (const char* form : {"kernel", "kernel_wide"}) {
    SCOPED_TRACE(form);
    EXPECT_EQ(Tell(worker, std::string("do ") + form + " 3 2000"), "0");
    EXPECT_EQ(Tell(worker, "syncctx"), "0");
  }
  // Six launches of 2 ms, by guess or measure, and never a count of blocks.
  EXPECT_GT(work.submitted_ns.load(), 0U);
  EXPECT_LE(work.submitted_ns.load(), 1'000'000'000U);
  EXPECT_EQ(box.Finish(worker), 0);
}

// 6: graphs are not held up, or break; and what a program sees free while it captures is wrong.
// More: shim_gate_test.
TEST(PeersBug06, GraphsAreLimitedAndCapturesSeeTheTruth) {
  ShareBox box;
  EXPECT_EQ(box.Run({kEdge, "capture-info"}).output, "1024 1024 1024 0 0\n");
  EXPECT_EQ(box.Run(Route("captured", kTen)).output, "2\n");
  EXPECT_EQ(box.Run(Route("cuGraphLaunch_ptsz", kTen)).output, "2\n");
}

// 7: memory from pools is not counted, and its free fails. More: the ledger's property test.
TEST(PeersBug07, PoolsAreCountedAndGivenBack) {
  for (const char* route : {"cuMemAllocAsync",
                            "cuMemAllocFromPoolAsync",
                            "cuMemAllocAsync_ptsz",
                            "cuMemAllocFromPoolAsync_ptsz"}) {
    ShareBox box;
    EXPECT_EQ(box.Run(Route(route, kTen)).output, "2\n") << route;
    auto program = box.Start({kProbe, "dlsym", "cycle", route, std::to_string(600 * kMib)});
    EXPECT_EQ(ShareBox::ReadLine(program.from), "0") << route;
    EXPECT_EQ(region::Total(box.ledger(), 0), 0U) << route;
    EXPECT_EQ(box.Finish(program), 0);
  }
}

// 8: cuMemCreate is charged to whatever card is current, or to one that there is not, and ends the
// program.
TEST(PeersBug08, AHandleIsChargedToTheCardThatItNames) {
  ShareBox box({.fleet = "2x24GiB"});
  AddSecondCard(box, 256 * kMib);
  for (const auto& [mib, answer] : {std::pair{uint64_t{100}, "0"}, std::pair{uint64_t{512}, "2"}}) {
    auto program = box.Start({kEdge, "on-second", std::to_string(mib * kMib)});
    EXPECT_EQ(ShareBox::ReadLine(program.from), answer);
    EXPECT_EQ(region::Total(box.ledger(), 0), 0U);
    EXPECT_EQ(region::Total(box.ledger(), 1), mib == 100 ? 100 * kMib : 0);
    EXPECT_EQ(box.Finish(program), 0);
    for (int slot = 0; slot < region::kSlotCount; ++slot) {
      region::ReclaimIfDead(box.ledger(), box.ledger_file(), slot);
    }
  }
  const auto none = box.Run({kEdge, "no-card"});
  EXPECT_EQ(none.output, "101\n");
  EXPECT_EQ(none.status, 0);
}

// 9: views that underflow, that take no null, that show a second process a free card; and a code
// that is not "out of memory".
TEST(PeersBug09, ViewsNeverUnderflowAndTakeNulls) {
  ShareBox box;
  const auto nulls = box.Run({kEdge, "nulls"});
  EXPECT_EQ(nulls.status, 0);
  EXPECT_EQ(nulls.output, ShareBox({.shared = false}).Run({kEdge, "nulls"}).output);
  auto holder = box.Start({kProbe, "dlsym", "hold", std::to_string(1000 * kMib)});
  ASSERT_EQ(ShareBox::ReadLine(holder.from), "0");
  EXPECT_EQ(box.Run({kProbe, "dlsym", "info"}).output, "0 25165824 1073741824 0 1073741824\n");
  box.policy().devices[0].memory_limit_bytes = 512 * kMib;  // Lowered below what is in use.
  EXPECT_EQ(box.Run({kProbe, "dlsym", "info"}).output, "0 0 536870912 0 536870912\n");
  const std::string nvml = box.Run({kProbe, "dlsym", "nvml"}).output;
  EXPECT_TRUE(nvml.starts_with("0 536870912 0 536870912\n0 536870912 0 536870912\n")) << nvml;
  EXPECT_EQ(box.Run(Route("cuMemAllocAsync", kLittle)).output, "2\n");
  EXPECT_EQ(box.Finish(holder), 0);
}

// 10: private symbols of glibc, endless look-ups under tools that wrap calls, and another version
// than was asked for. More: shim_injection_test, tests/clients/lookup.
TEST(PeersBug10, ALookUpGivesWhatWasAskedFor) {
  ShareBox box;
  EXPECT_EQ(box.Run({kEdge, "lookups"}).output, "end\n");
  EXPECT_EQ(box.Run({kProbe, "next", "route", "cuMemAlloc_v2", kTen}).output, "2\n");
}

// 11: programs hang or end with another driver than the usual.
TEST(PeersBug11, EveryDriverVersionIsServed) {
  for (const int version : {11040, 11060, 12000, 12020, 12040, 12080, 12090, 13000}) {
    SCOPED_TRACE(version);
    ShareBox box({.scene = [version](simgpu::Scene& scene) { scene.cuda_version = version; }});
    EXPECT_EQ(box.Run(Route("cuMemAlloc_v2", kLittle)).output, "0\n");
    for (const char* look_up : {"dlsym", "default"}) {
      EXPECT_EQ(box.Run({kProbe, look_up, "route", "cuMemAlloc_v2", kTen}).output, "2\n");
    }
    auto worker = box.Start({kGate});
    EXPECT_EQ(ShareBox::ReadLine(worker.from), "ready");
    EXPECT_EQ(Tell(worker, "do kernel 3 10"), "0");
    EXPECT_EQ(Tell(worker, "syncctx"), "0");
    EXPECT_EQ(box.Finish(worker), 0);
  }
}

// 12: NVML counts processes as the host does, here or there, and shows no utilisation. Ours knows
// its own by the kernel, and by what the agent wrote.
TEST(PeersBug12, ProcessesAreOursHoweverNvmlCounts) {
  for (const char* fault : {"", "foreign_pids_in_lists", "zero_utilization"}) {
    SCOPED_TRACE(fault);
    ShareBox box({.scene = [fault](simgpu::Scene& scene) {
      if (fault[0] != '\0') scene.cards[0].faults.emplace_back(fault);
    }});
    auto holder = box.Start({kProbe, "dlsym", "hold", std::to_string(256 * kMib)});
    ASSERT_EQ(ShareBox::ReadLine(holder.from), "0");
    const auto own = static_cast<uint32_t>(holder.pid);
    box.ledger().slots[SlotOf(box, holder.pid)].host_pid =
        own + (std::string(fault) == "foreign_pids_in_lists" ? simgpu::kForeignPid : 0);
    const std::string seen = box.Run({kProbe, "dlsym", "nvml"}).output;
    EXPECT_TRUE(seen.ends_with(" " + std::to_string(own) + ":268435456\n")) << seen;
    EXPECT_EQ(box.Finish(holder), 0);
  }
}

// 13: shells of other kinds, and whoever clears its environment, have no limit. More:
// shim_injection_test, shim_enforcement_test.
TEST(PeersBug13, EveryShellHasTheLimit) {
  ShareBox box;
  const std::string ask = kProbe + " dlsym route cuMemAlloc_v2 " + kTen;
  EXPECT_EQ(box.Run({"/bin/sh", "-l", "-c", ask}, {"HOME=/"}).output, "2\n");
  EXPECT_EQ(box.Run({"/usr/bin/env", "-i", "/bin/sh", "-c", ask}).output, "2\n");
  EXPECT_EQ(box.Run({"/bin/bash", "--login", "-c", ask}, {"HOME=/"}).output, "2\n");
  EXPECT_EQ(box.Run(Route("cuMemAlloc_v2", kTen), {"CUDA_DISABLE_CONTROL=true"}).output, "2\n");
}

// 14: files rewritten under running programs end them, and cards do not see each other. What the
// node replaces, it replaces by renaming. More: shim_bad_input_test.
TEST(PeersBug14, ReplacedFilesEndNobodyAndPeersAreSeen) {
  ShareBox box({.fleet = "2x24GiB"});
  AddSecondCard(box, 1024 * kMib);
  EXPECT_EQ(box.Run({kEdge, "peers"}).output,
            ShareBox({.fleet = "2x24GiB", .shared = false}).Run({kEdge, "peers"}).output);
  auto holder = box.Start({kProbe, "dlsym", "random", "3"});
  ASSERT_TRUE(ShareBox::ReadLine(holder.from).ends_with("held"));
  const std::string page = box.folder() + "/ledger";
  ASSERT_EQ(rename((box.folder() + "/bell").c_str(), page.c_str()), 0);
  EXPECT_EQ(write(holder.to, "x", 1), 1);
  EXPECT_EQ(ShareBox::ReadLine(holder.from), "free");
  EXPECT_EQ(box.Finish(holder), 0);
}

}  // namespace
}  // namespace sluice::shim
