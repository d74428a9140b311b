// SPDX-License-Identifier: Apache-2.0
// What programs, tenants and machines do wrong: the interposer refuses or goes on, and its host
// process notices nothing else of it.
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "shim/share_box.h"
#include "simgpu/truth.h"

namespace sluice::shim {
namespace {

const std::string kTests = std::string(SLUICE_BUILD_DIR) + "/tests";
const std::string kEdge = kTests + "/shim_edge_probe";
const std::string kProbe = kTests + "/shim_probe";
const std::string kLittle = std::to_string(2 << 20);

std::vector<std::string> AllocateLittle() {
  return {kProbe, "dlsym", "route", "cuMemAlloc_v2", kLittle};
}

void Overwrite(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string Noise(size_t bytes) {
  SeededRandom random(SystemRandom().Next());
  std::vector<uint64_t> words(bytes / 8 + 1);
  for (uint64_t& word : words) word = random.Next();
  return {reinterpret_cast<const char*>(words.data()), bytes};
}

struct BadPage {
  const char* name;
  std::function<void(ShareBox& box)> spoil;
};

TEST(APageThatCannotBeUsed, RefusesEveryAllocationAndNothingElse) {
  const std::string noise = Noise(sizeof(region::LedgerPage));
  const BadPage pages[] = {
      {"an empty policy", [](ShareBox& box) { Overwrite(box.folder() + "/policy", ""); }},
      {"a short policy", [](ShareBox& box) { Overwrite(box.folder() + "/policy", "short"); }},
      {"a policy of noise",
       [&](ShareBox& box) { Overwrite(box.folder() + "/policy", noise.substr(0, 4096)); }},
      {"a policy of another version", [](ShareBox& box) { box.policy().version += 1; }},
      {"a policy of too many cards", [](ShareBox& box) { box.policy().device_count = 17; }},
      {"a policy without cards", [](ShareBox& box) { box.policy().device_count = 0; }},
      {"an empty ledger", [](ShareBox& box) { Overwrite(box.folder() + "/ledger", ""); }},
      {"a short ledger", [](ShareBox& box) { Overwrite(box.folder() + "/ledger", "short"); }},
      {"a ledger of noise", [&](ShareBox& box) { Overwrite(box.folder() + "/ledger", noise); }},
      {"a ledger of another version", [](ShareBox& box) { box.ledger().version += 1; }},
      {"a ledger of fewer slots", [](ShareBox& box) { box.ledger().slot_count = 3; }},
  };
  for (const BadPage& page : pages) {
    SCOPED_TRACE(page.name);
    ShareBox box;
    page.spoil(box);
    const auto outcome = box.Run(AllocateLittle());
    EXPECT_EQ(outcome.output, "2\n");
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(box.Run({"/bin/echo", "hello"}).output, "hello\n");
  }
}

// A ledger whose head is right and whose every other byte is a tenant's.
TEST(APageOfAnyBytes, EndsInAnAnswer) {
  ShareBox box;
  for (int round = 0; round < 10; ++round) {
    const std::string noise = Noise(sizeof(region::LedgerPage) - 64);
    memcpy(reinterpret_cast<char*>(&box.ledger()) + 64, noise.data(), noise.size());
    const auto outcome = box.Run(AllocateLittle());
    EXPECT_TRUE(outcome.output == "0\n" || outcome.output == "2\n") << outcome.output;
    EXPECT_EQ(outcome.status, 0);
  }
}

TEST(AReplacedPage, LeavesRunningProgramsTheirOwn) {
  ShareBox box;
  auto holder = box.Start({kProbe, "dlsym", "random", "7"});
  ASSERT_TRUE(ShareBox::ReadLine(holder.from).ends_with("held"));
  for (const char* name : {"/policy", "/ledger"}) {
    Overwrite(box.folder() + "/new", Noise(sizeof(region::LedgerPage)));
    std::filesystem::rename(box.folder() + "/new", box.folder() + name);
  }
  EXPECT_EQ(write(holder.to, "x", 1), 1);
  EXPECT_EQ(ShareBox::ReadLine(holder.from), "free");
  EXPECT_EQ(region::Total(box.ledger(), 0), 0U);
  EXPECT_EQ(box.Finish(holder), 0);
}

TEST(AFullMachine, IsNoHindrance) {
  ShareBox box;
  const std::string fill =
      "mount -t tmpfs -o size=4k tmpfs /dev/shm; "
      "head -c 8192 /dev/zero >/dev/shm/full 2>/dev/null; exec ";
  EXPECT_EQ(
      box.Run({"/bin/sh", "-c", fill + kProbe + " dlsym route cuMemAlloc_v2 " + kLittle}).output,
      "0\n");
}

TEST(AShareWithoutABell, GoesOn) {
  ShareBox box;
  std::filesystem::remove(box.folder() + "/bell");
  EXPECT_EQ(box.Run(AllocateLittle()).output, "0\n");
}

// Of 4,096 processes of one share (here: descriptions of its ledger, which are what owns a slot)
// 1,024 have slots. To be refused takes some milliseconds, so the short form is of fewer.
//
//   SLUICE_SHARE_PROCESSES=N   how many (1,280)
TEST(AShareOfTooManyProcesses, TurnsTheNextOnesAwayUncounted) {
  const char* const asked = getenv("SLUICE_SHARE_PROCESSES");
  const int count = asked == nullptr ? 1'280 : atoi(asked);
  ShareBox box;
  region::LedgerPage& ledger = box.ledger();
  std::vector<int> files;
  std::set<int> slots;
  for (int i = 0; i < count; ++i) {
    files.push_back(open((box.folder() + "/ledger").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_GE(files.back(), 0);
    const auto number = static_cast<uint32_t>(i);
    const int slot = region::TakeSlot(ledger, files.back(), number, number + 1);
    if (slot < 0) continue;
    EXPECT_TRUE(slots.insert(slot).second);
    EXPECT_TRUE(region::Charge({&ledger, 0, slot}, 1024, region::kBytesMax));
  }
  EXPECT_EQ(slots.size(), size_t{region::kSlotCount});
  EXPECT_EQ(ledger.turned_away.load(), static_cast<uint64_t>(count - region::kSlotCount));
  EXPECT_EQ(region::Total(ledger, 0), uint64_t{1024} * region::kSlotCount);

  // A program's own: the driver is not even ready for it.
  const auto away = box.Run({kEdge, "begin"});
  EXPECT_EQ(away.output, "807 3\n");
  EXPECT_EQ(ledger.turned_away.load(), static_cast<uint64_t>(count - region::kSlotCount + 1));
  EXPECT_EQ(region::Total(ledger, 0), uint64_t{1024} * region::kSlotCount);

  // One of the thousand ends: the next one takes its place and gives back what it held.
  close(files.front());
  EXPECT_EQ(box.Run({kEdge, "begin"}).output, "0 0\n");
  EXPECT_EQ(region::Total(ledger, 0), uint64_t{1024} * (region::kSlotCount - 1) + (2U << 20));
  for (size_t i = 1; i < files.size(); ++i) close(files[i]);
}

// However pools grow: what they might take is charged before the driver is asked.
TEST(PoolsAtTheLimit, NeverPassItForAnInstant) {
  for (const int chunk : {2, 32}) {
    SCOPED_TRACE(chunk);
    ShareBox box({.limit = MiB(512),
                  .scene = [chunk](simgpu::Scene& scene) { scene.pool_chunk = MiB(chunk); }});
    auto first = box.Start({kEdge, "pools"});
    auto second = box.Start({kEdge, "pools"});
    for (auto* program : {&first, &second}) EXPECT_EQ(ShareBox::ReadLine(program->from), "filled");
    auto truth = simgpu::Truth::Open(box.state_folder());
    ASSERT_TRUE(truth);
    const int64_t peak = truth->Read(0).memory_peak.value();
    EXPECT_LE(peak, MiB(512).value());
    EXPECT_GT(peak, MiB(512 - 2 * chunk).value());
    for (auto* program : {&first, &second}) EXPECT_EQ(box.Finish(*program), 0);
  }
}

TEST(AHundredThousandBlocks, AreCountedOneByOne) {
  ShareBox box;
  auto program = box.Start({kEdge, "many", "100000"});
  EXPECT_EQ(ShareBox::ReadLine(program.from), "0");
  EXPECT_EQ(region::Total(box.ledger(), 0), 0U);
  EXPECT_EQ(box.ledger().devices[0].peak_bytes.load(), 100'000U * 512);
  EXPECT_EQ(box.Finish(program), 0);
}

struct Deed {
  const char* verb;
  const char* answer;
};

// Each in a process of its own, whose output is all that there may be: nothing is printed by us.
TEST(AProgram, IsLeftAsItWas) {
  constexpr Deed kDeeds[] = {
      {"sizes", "end\n"},  // 0, the largest there is, and what wraps: none is granted.
      {"errno", "end\n"},
      {"host", "end\n"},  // Umask, handlers, limits, blocked signals, locale, folder.
      {"signals", "0\n"},
      {"no-card", "101\n"},
  };
  for (const Deed& deed : kDeeds) {
    SCOPED_TRACE(deed.verb);
    ShareBox box;
    const auto outcome = box.Run({"/bin/sh", "-c", "exec " + kEdge + " " + deed.verb + " 2>&1"});
    EXPECT_EQ(outcome.output, deed.answer);
    EXPECT_EQ(outcome.status, 0);
  }
}

TEST(AProgramThatIsRefused, SeesNoLineOfOurs) {
  ShareBox box;
  box.ledger().magic = 0;
  EXPECT_EQ(box.Run({"/bin/sh",
                     "-c",
                     "exec " + kProbe + " dlsym route cuMemAlloc_v2 " + kLittle + " 2>&1"})
                .output,
            "2\n");
}

TEST(EveryAnsweredCall, TakesZeroesForAllArguments) {
  ShareBox box;
  const auto outcome = box.Run({kEdge, "zeroes"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_GT(outcome.output.empty() ? 0 : std::stoi(outcome.output), 100);
  EXPECT_EQ(region::Total(box.ledger(), 0), 0U);
}

TEST(AThreadThatEndsInsideAnAllocation, LeavesTheOthersFree) {
  ShareBox box({.driver_folder = kTests + "/tiny_driver"});
  auto program = box.Start({kEdge, "dying"});
  EXPECT_EQ(ShareBox::ReadLine(program.from), "0");
  // What it had reserved stays charged, on the safe side, until its process ends.
  EXPECT_EQ(region::Total(box.ledger(), 0), uint64_t{7} << 20);
  EXPECT_EQ(box.Finish(program), 0);
}

}  // namespace
}  // namespace sluice::shim
