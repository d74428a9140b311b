// SPDX-License-Identifier: Apache-2.0
// What the ledger promises about SIGKILL, with real processes.
#include <array>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <vector>

#include "base/random.h"
#include "shim/internal/testing/ledger.h"

namespace sluice::region {
namespace {

constexpr uint64_t kLimit = uint64_t{1} << 30;
constexpr int kDevices = 2;
// A sanitizer makes of one instruction several (the thread sanitizer: hundreds), and the time goes
// with the square: there every so-manyth is tried.
#if defined(__SANITIZE_THREAD__)
constexpr int kStride = 211;
#elif defined(__SANITIZE_ADDRESS__)
constexpr int kStride = 7;
#else
constexpr int kStride = 1;
#endif

[[noreturn]] void ChargeForEver(TestLedger& ledger, uint64_t seed) {
  const int file = ledger.Open();
  const int slot = TakeSlot(ledger.page(),
                            file,
                            static_cast<uint32_t>(seed % kSlotCount),
                            static_cast<uint32_t>(getpid()));
  SeededRandom random(seed);
  for (;;) {
    const Account account{&ledger.page(), static_cast<int>(random.Next() % kDevices), slot};
    const uint64_t bytes = random.Next() % (kLimit / 3) + 1;
    if (random.Next() % 2 == 0) {
      Charge(account, bytes, kLimit);
    } else {
      Return(account, bytes);
    }
  }
}

pid_t Start(TestLedger& ledger, uint64_t seed) {
  const pid_t child = fork();
  if (child == 0) {
    ChargeForEver(ledger, seed);
  }
  return child;
}

// Waits until somebody has changed the first card's total `changes` times.
void AwaitChanges(LedgerPage& page, uint64_t changes) {
  uint64_t last = page.devices[0].word.load();
  while (changes > 0) {
    const uint64_t now = page.devices[0].word.load();
    changes -= now != last ? 1 : 0;
    last = now;
  }
}

void Freeze(const std::vector<pid_t>& children) {
  for (const pid_t child : children) {
    kill(child, SIGSTOP);
    int status = 0;
    waitpid(child, &status, WUNTRACED);
  }
}

TEST(LedgerUnderKills, HoldsExactlyWhatTheLivingHold) {
  const uint64_t seed = SystemRandom().Next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  SeededRandom random(seed);
  TestLedger ledger;
  LedgerPage& page = ledger.page();
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    children.push_back(Start(ledger, random.Next()));
  }
  for (int round = 0; round < 120; ++round) {
    AwaitChanges(page, random.Next() % 20 + 1);
    pid_t& victim = children[random.Next() % children.size()];
    kill(victim, SIGKILL);
    waitpid(victim, nullptr, 0);
    victim = Start(ledger, random.Next());
    Freeze(children);
    for (int slot = NextTaken(page, 0); slot >= 0; slot = NextTaken(page, slot + 1)) {
      if (!IsAlive(ledger.file(), slot)) {
        EXPECT_TRUE(ReclaimIfDead(page, ledger.file(), slot));
      }
    }
    for (int device = 0; device < kDevices; ++device) {
      ASSERT_EQ(Total(page, device), SumHeld(page, device)) << "round " << round;
      ASSERT_LE(page.devices[device].peak_bytes.load(), kLimit);
    }
    for (const pid_t child : children) {
      kill(child, SIGCONT);
    }
  }
  for (const pid_t child : children) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  for (int slot = 0; slot < kSlotCount; ++slot) {
    ReclaimIfDead(page, ledger.file(), slot);
  }
  EXPECT_EQ(Total(page, 0), 0U);
  EXPECT_EQ(Total(page, 1), 0U);
}

// Stops for the tracer as near to the work as can be, to count few instructions that are not its.
void StopHere() {
#if defined(__x86_64__)
  asm volatile("int3");
#else
  raise(SIGSTOP);
#endif
}

// Ends the process without a walk through the loader.
[[noreturn]] void EndHere() {
#if defined(__x86_64__)
  asm volatile("syscall" : : "a"(231), "D"(0));
#endif
  _exit(0);
}

// Runs `work` in a child for exactly `steps` instructions, then kills it. Returns whether it was
// still running. The child stops itself just before.
template <typename Work>
bool KillAfter(int steps, Work work) {
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    StopHere();
    work();
    EndHere();
  }
  int status = 0;
  waitpid(child, &status, 0);
  bool running = WIFSTOPPED(status);
  for (int i = 0; running && i < steps; ++i) {
    ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr);
    waitpid(child, &status, 0);
    running = WIFSTOPPED(status);
  }
  if (running) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  return running;
}

TEST(LedgerUnderKills, IsExactWhicheverInstructionWasTheLast) {
  constexpr uint64_t kBefore = 1000;
  int steps = 0;
  bool running = true;
  int charged = 0;
  int untouched = 0;
  for (; running && steps < 20'000; steps += kStride) {
    TestLedger ledger;
    LedgerPage& page = ledger.page();
    ASSERT_TRUE(Charge({&page, 0, 9}, kBefore, kLimit));  // A sibling's.
    ASSERT_TRUE(Charge({&page, 0, 5}, 50, kLimit));       // The victim's own, earlier.
    running = KillAfter(steps, [&page] {
      Charge({&page, 0, 5}, 70, kLimit);
      Return({&page, 0, 5}, 20);
    });
    const uint64_t held = Held(page, 0, 5);
    ASSERT_TRUE(held == 50 || held == 120 || held == 100) << held << " after step " << steps;
    ASSERT_EQ(Total(page, 0), kBefore + held) << "after step " << steps;
    // Both a sibling's next operation and the reclaim find everything in order.
    ASSERT_TRUE(Charge({&page, 0, 9}, 1, kLimit));
    ASSERT_TRUE(ReclaimIfDead(page, ledger.file(), 5));
    ASSERT_EQ(Total(page, 0), kBefore + 1);
    ASSERT_EQ(Held(page, 0, 9), kBefore + 1);
    charged += held != 50 ? 1 : 0;
    untouched += held == 50 ? 1 : 0;
  }
  RecordProperty("steps", steps);
  EXPECT_FALSE(running) << "the child never came to its end";
  EXPECT_GT(charged, 0);
  EXPECT_GT(untouched, 0);
}

TEST(LedgerUnderKills, SurvivesTheDeathOfAReclaimerAtAnyInstruction) {
  bool running = true;
  for (int steps = 0; running && steps < 100'000; steps += 17 * kStride) {
    TestLedger ledger;
    LedgerPage& page = ledger.page();
    ASSERT_TRUE(Charge({&page, 0, 9}, 1000, kLimit));
    ASSERT_TRUE(Charge({&page, 0, 5}, 50, kLimit));
    ASSERT_TRUE(Charge({&page, 1, 5}, 60, kLimit));
    page.slots[5].pid = 1;
    const int file = ledger.Open();
    running = KillAfter(steps, [&page, &ledger] { ReclaimIfDead(page, ledger.Open(), 5); });
    ASSERT_TRUE(ReclaimIfDead(page, file, 5)) << "after step " << steps;
    ASSERT_EQ(Total(page, 0), 1000U) << "after step " << steps;
    ASSERT_EQ(Total(page, 1), 0U) << "after step " << steps;
    close(file);
  }
  EXPECT_FALSE(running);
}

}  // namespace
}  // namespace sluice::region
