// SPDX-License-Identifier: Apache-2.0
#include "shim/region.h"

#include <cstring>
#include <map>
#include <memory>
#include <signal.h>
#include <sys/wait.h>
#include <thread>
#include <vector>

#include "base/random.h"
#include "shim/internal/testing/ledger.h"

namespace sluice::region {
namespace {

constexpr uint64_t kMib = 1 << 20;
constexpr uint64_t kLimit = 1024 * kMib;

TEST(Ledger, RefusesWhatPassesTheRoomAndKeepsTheRest) {
  TestLedger ledger;
  const Account a{&ledger.page(), 0, 3};
  EXPECT_TRUE(Charge(a, kLimit, kLimit));
  EXPECT_FALSE(Charge(a, 1, kLimit));
  EXPECT_EQ(Total(ledger.page(), 0), kLimit);
  EXPECT_EQ(Held(ledger.page(), 0, 3), kLimit);
}

TEST(Ledger, RefusesSizesThatWouldWrap) {
  TestLedger ledger;
  const Account a{&ledger.page(), 0, 3};
  EXPECT_TRUE(Charge(a, kMib, kLimit));
  EXPECT_FALSE(Charge(a, UINT64_MAX, UINT64_MAX));
  EXPECT_FALSE(Charge(a, kBytesMax, UINT64_MAX));
  EXPECT_EQ(Total(ledger.page(), 0), kMib);
}

TEST(Ledger, ReturnsAtMostWhatTheSlotHolds) {
  TestLedger ledger;
  const Account a{&ledger.page(), 0, 3};
  const Account b{&ledger.page(), 0, 4};
  ASSERT_TRUE(Charge(a, 5 * kMib, kLimit));
  ASSERT_TRUE(Charge(b, 7 * kMib, kLimit));
  Return(a, 100 * kMib);
  EXPECT_EQ(Held(ledger.page(), 0, 3), 0U);
  EXPECT_EQ(Total(ledger.page(), 0), 7 * kMib);
}

TEST(Ledger, KeepsCardsApart) {
  TestLedger ledger;
  ASSERT_TRUE(Charge({&ledger.page(), 0, 3}, 5, kLimit));
  ASSERT_TRUE(Charge({&ledger.page(), 15, 3}, 7, kLimit));
  EXPECT_EQ(Total(ledger.page(), 0), 5U);
  EXPECT_EQ(Total(ledger.page(), 15), 7U);
}

TEST(Ledger, CountsPeakAndRefusals) {
  TestLedger ledger;
  const Account a{&ledger.page(), 0, 3};
  ASSERT_TRUE(Charge(a, 9 * kMib, kLimit));
  Return(a, 9 * kMib);
  CountRefusal(ledger.page(), 0);
  EXPECT_EQ(ledger.page().devices[0].peak_bytes.load(), 9 * kMib);
  EXPECT_EQ(ledger.page().devices[0].refused.load(), 1U);
}

TEST(Ledger, FollowsAModelThroughRandomOperations) {
  const uint64_t seed = SystemRandom().Next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  SeededRandom random(seed);
  TestLedger ledger;
  std::map<int, uint64_t> model;
  uint64_t total = 0;
  for (int i = 0; i < 200'000; ++i) {
    const int slot = static_cast<int>(random.Next() % 7) * 170;
    const uint64_t bytes = random.Next() % (kLimit / 4);
    const Account account{&ledger.page(), 2, slot};
    if (random.Next() % 2 == 0) {
      const bool fits = total + bytes <= kLimit;
      ASSERT_EQ(Charge(account, bytes, kLimit), fits);
      model[slot] += fits ? bytes : 0;
      total += fits ? bytes : 0;
    } else {
      const uint64_t taken = std::min(bytes, model[slot]);
      Return(account, bytes);
      model[slot] -= taken;
      total -= taken;
    }
    ASSERT_EQ(Total(ledger.page(), 2), total);
    ASSERT_EQ(Held(ledger.page(), 2, slot), model[slot]);
  }
}

TEST(Ledger, StaysExactWithManyThreads) {
  TestLedger ledger;
  std::vector<std::jthread> threads;
  for (int slot = 0; slot < 4; ++slot) {
    threads.emplace_back([&ledger, slot] {
      SeededRandom random(static_cast<uint64_t>(slot));
      const Account account{&ledger.page(), 0, slot};
      for (int i = 0; i < 100'000; ++i) {
        const uint64_t bytes = random.Next() % (kLimit / 3);
        if (random.Next() % 2 == 0) {
          Charge(account, bytes, kLimit);
        } else {
          Return(account, bytes);
        }
      }
    });
  }
  threads.clear();
  EXPECT_EQ(Total(ledger.page(), 0), SumHeld(ledger.page(), 0));
  EXPECT_LE(ledger.page().devices[0].peak_bytes.load(), kLimit);
}

TEST(Slot, IsTakenOnceAndGivenBackWithWhatItHeld) {
  TestLedger ledger;
  const int first = ledger.Open();
  const int second = ledger.Open();
  const int slot = TakeSlot(ledger.page(), first, 1020, 77);
  EXPECT_EQ(slot, 1020);
  EXPECT_EQ(TakeSlot(ledger.page(), second, 1020, 78), 1021);
  EXPECT_TRUE(IsAlive(second, slot));
  EXPECT_FALSE(ReclaimIfDead(ledger.page(), second, slot));
  ASSERT_TRUE(Charge({&ledger.page(), 1, slot}, kMib, kLimit));
  close(first);
  EXPECT_FALSE(IsAlive(second, slot));
  EXPECT_TRUE(ReclaimIfDead(ledger.page(), second, slot));
  EXPECT_EQ(Total(ledger.page(), 1), 0U);
  EXPECT_EQ(ledger.page().slots[slot].pid.load(), 0U);
  close(second);
}

TEST(Slot, NamesItsOwnerAsTheKernelSees) {
  TestLedger ledger;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const char slot = static_cast<char>(TakeSlot(ledger.page(), ledger.Open(), 70, 1));
    _exit(write(ready[1], &slot, 1) == 1 && pause() ? 0 : 1);
  }
  char slot = 0;
  ASSERT_EQ(read(ready[0], &slot, 1), 1);
  EXPECT_EQ(slot, 70);
  EXPECT_EQ(NextTaken(ledger.page(), 0), 70);
  EXPECT_EQ(NextTaken(ledger.page(), 71), -1);
  EXPECT_EQ(OwnerPid(ledger.file(), slot), child);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(OwnerPid(ledger.file(), slot), 0);
  EXPECT_TRUE(ReclaimIfDead(ledger.page(), ledger.file(), slot));
  EXPECT_EQ(NextTaken(ledger.page(), 0), -1);
  close(ready[0]);
  close(ready[1]);
}

TEST(Slot, IsRefusedWhenAllAreTaken) {
  TestLedger ledger;
  const int all = ledger.Open();
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_len = kSlotCount;
  ASSERT_EQ(fcntl(all, F_OFD_SETLK, &lock), 0);
  EXPECT_EQ(TakeSlot(ledger.page(), ledger.file(), 5, 1), -1);
  close(all);
  EXPECT_EQ(TakeSlot(ledger.page(), ledger.file(), 5, 1), 5);
}

TEST(Policy, FindsCardsByUuidAlone) {
  auto page = std::make_unique<PolicyPage>();
  page->magic = kPolicyMagic;
  page->version = kVersion;
  page->device_count = 2;
  ASSERT_TRUE(ParseUuid("GPU-00112233-4455-6677-8899-aAbBcCdDeEfF", page->devices[1].uuid));
  const uint8_t raw[16] = {0x00,
                           0x11,
                           0x22,
                           0x33,
                           0x44,
                           0x55,
                           0x66,
                           0x77,
                           0x88,
                           0x99,
                           0xaa,
                           0xbb,
                           0xcc,
                           0xdd,
                           0xee,
                           0xff};
  EXPECT_TRUE(IsReadable(*page));
  EXPECT_EQ(FindDevice(*page, raw), 1);
  const uint8_t other[16] = {1};
  EXPECT_EQ(FindDevice(*page, other), -1);
  page->device_count = kDevicesMax + 1;
  EXPECT_FALSE(IsReadable(*page));
}

TEST(Policy, RefusesTextThatIsNoUuid) {
  uint8_t raw[16];
  for (const char* text : {"",
                           "GPU-",
                           "GPU-00112233-4455-6677-8899-aabbccddeef",
                           "GPU-00112233-4455-6677-8899-aabbccddeeff0",
                           "MIG-00112233-4455-6677-8899-aabbccddeeff",
                           "GPU-0011223g-4455-6677-8899-aabbccddeeff"}) {
    EXPECT_FALSE(ParseUuid(text, raw)) << text;
  }
}

TEST(Policy, LeavesNoRoomWhenRevokedOrOverdrawn) {
  auto page = std::make_unique<PolicyPage>();
  PolicyDevice& device = page->devices[0];
  device.memory_limit_bytes = 10;
  device.overhead_bytes = 4;
  EXPECT_EQ(Room(device), 6U);
  device.overhead_bytes = 11;
  EXPECT_EQ(Room(device), 0U);
  device.overhead_bytes = 0;
  device.flags = kFlagRevoked;
  EXPECT_EQ(Room(device), 0U);
}

TEST(Ledger, SurvivesAnyBytes) {
  const uint64_t seed = SystemRandom().Next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  SeededRandom random(seed);
  TestLedger ledger;
  auto policy = std::make_unique<PolicyPage>();
  policy->devices[0].memory_limit_bytes = kLimit;
  for (int round = 0; round < 20; ++round) {
    auto* words = reinterpret_cast<uint64_t*>(&ledger.page());
    for (size_t i = 0; i < sizeof(LedgerPage) / 8; ++i) {
      words[i] = random.Next();
    }
    const int slot = static_cast<int>(random.Next() % kSlotCount);
    const int file = ledger.Open();
    Charge({&ledger.page(), 0, slot}, random.Next() % kLimit, kLimit);
    Return({&ledger.page(), 0, slot}, random.Next());
    EXPECT_LE(Used(policy->devices[0], ledger.page(), 0), kLimit);
    EXPECT_TRUE(ReclaimIfDead(ledger.page(), file, slot));
    EXPECT_EQ(Held(ledger.page(), 0, slot), 0U);
    const int taken = TakeSlot(ledger.page(), file, 0, 1);
    EXPECT_EQ(taken, 0);
    close(file);
  }
}

}  // namespace
}  // namespace sluice::region
