// SPDX-License-Identifier: Apache-2.0
// The compute gate as programs meet it: real processes behind the interposer, simulated cards in
// real time, and a policy that the test writes as an agent's arbiter would.
#include <chrono>
#include <climits>
#include <fcntl.h>
#include <functional>
#include <linux/futex.h>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <sstream>
#include <string>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/random.h"
#include "shim/share_box.h"

namespace sluice::shim {
namespace {

using region::GrantMode;

const std::string kProbe = std::string(SLUICE_BUILD_DIR) + "/tests/shim_gate_probe";
constexpr auto kDeadline = std::chrono::seconds(60);
constexpr uint64_t kMilli = 1'000'000;

uint64_t NowNs() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

bool Await(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kDeadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

// A program of the share and what the share's pages say of it.
class Program {
 public:
  explicit Program(ShareBox& box) : box_(box), started_(box.Start({kProbe})) {
    EXPECT_EQ(Line(), "ready");
    for (int slot = region::NextTaken(box.ledger(), 0); slot >= 0;
         slot = region::NextTaken(box.ledger(), slot + 1)) {
      if (box.ledger().slots[slot].pid == static_cast<uint32_t>(started_.pid)) {
        slot_ = slot;
      }
    }
    EXPECT_GE(slot_, 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (started_.pid > 0) {
      EXPECT_EQ(box_.Finish(started_), 0);
    }
  }

  void Tell(const std::string& command) {
    const std::string line = command + "\n";
    EXPECT_EQ(write(started_.to, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }
  // The next line, or what went wrong.
  std::string Line() {
    pollfd there = {started_.from, POLLIN, 0};
    const int ms = static_cast<int>(std::chrono::milliseconds(kDeadline).count());
    return poll(&there, 1, ms) == 1 ? ShareBox::ReadLine(started_.from) : "no answer";
  }
  std::string Ask(const std::string& command) {
    Tell(command);
    return Line();
  }
  bool HasAnswered() {
    pollfd there = {started_.from, POLLIN, 0};
    return poll(&there, 1, 0) == 1;
  }
  void Kill() {
    box_.Kill(started_);
    started_.pid = -1;
  }

  int slot() const { return slot_; }
  region::SlotDevice& work() { return box_.ledger().slots[slot_].devices[0]; }
  bool AwaitWaiting(uint32_t count) {
    return Await([&] { return work().waiting.load() == count; });
  }
  bool IsDone() { return work().submitted_ns.load() == work().finished_ns.load(); }

 private:
  ShareBox& box_;
  ShareBox::Started started_;
  int slot_ = -1;
};

// What an agent does: a heartbeat, grants, and an ear for the bell.
class Hand {
 public:
  explicit Hand(ShareBox& box)
      : box_(box), heart_([this](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            if (beats_) box_.policy().heartbeat_ms = NowNs() / kMilli;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
          }
        }) {
    box_.policy().heartbeat_ms = NowNs() / kMilli;
    bell_ = open((box.folder() + "/bell").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    EXPECT_GE(bell_, 0);
  }
  Hand(const Hand&) = delete;
  Hand& operator=(const Hand&) = delete;
  ~Hand() { close(bell_); }

  void Grant(GrantMode mode, uint64_t in_flight_ns = 1000 * kMilli, uint64_t span_ns = 0) {
    region::ComputeGrant& grant = box_.policy().grants[0];
    grant.until_ns = NowNs() + (span_ns == 0 ? 3600'000 * kMilli : span_ns);
    grant.in_flight_ns = in_flight_ns;
    grant.word = region::GrantWord(++sequence_, mode);
    syscall(SYS_futex, &grant.word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
  uint32_t sequence() const { return sequence_; }
  void FallSilent() {
    beats_ = false;
    heart_.request_stop();
    heart_.join();
    box_.policy().heartbeat_ms = 0;
  }
  void ComeBack() { box_.policy().heartbeat_ms = NowNs() / kMilli + region::kAgentSilentMs - 100; }
  bool Rang() {
    char bytes[4096];
    return read(bell_, bytes, sizeof(bytes)) > 0;
  }
  bool AwaitBell() {
    return Await([&] { return Rang(); });
  }

 private:
  ShareBox& box_;
  uint32_t sequence_ = 0;
  int bell_ = -1;
  std::atomic<bool> beats_{true};
  std::jthread heart_;
};

// A share with one card, an agent's hand and one program.
class OneProgram : public testing::Test {
 protected:
  ShareBox box;
  Hand hand{box};
  Program program{box};
};
using EveryFormOfWork = OneProgram;
using WorkUnderAnOpenGate = OneProgram;
using AnExpiredGrant = OneProgram;
using ACapture = OneProgram;
using WorkInFlight = OneProgram;
using ASynchronisation = OneProgram;
using WorkOfUnknownLength = OneProgram;
using AKilledProcess = OneProgram;
using AThread = OneProgram;
using SeveralThreads = OneProgram;
using AForkedChild = OneProgram;
using WithoutAnAgent = OneProgram;
using PagesOfAnyBytes = OneProgram;
using AnEndingContext = OneProgram;
using TheWatch = OneProgram;

TEST_F(EveryFormOfWork, StandsAtAClosedGate) {
  std::istringstream forms(program.Ask("forms"));
  int count = 0;
  for (std::string form; forms >> form; ++count) {
    SCOPED_TRACE(form);
    hand.Grant(GrantMode::kWait);
    program.Tell("do " + form + " 1 50");
    ASSERT_TRUE(program.AwaitWaiting(1));
    EXPECT_TRUE(hand.AwaitBell());
    EXPECT_FALSE(program.HasAnswered());
    hand.Grant(GrantMode::kRun);
    EXPECT_EQ(program.Line(), "0");
    EXPECT_EQ(program.work().waiting.load(), 0U);
    EXPECT_EQ(program.Ask("syncctx"), "0");
  }
  EXPECT_GE(count, 19);
}

TEST_F(EveryFormOfWork, PassesAnOpenGateAtOnce) {
  std::istringstream forms(program.Ask("forms"));
  for (std::string form; forms >> form;) {
    EXPECT_EQ(program.Ask("do " + form + " 3 10"), "0") << form;
  }
  EXPECT_EQ(program.work().waiting.load(), 0U);
  // Counted all the same, and seen to end without being asked.
  EXPECT_GT(program.work().submitted_ns.load(), 0U);
  EXPECT_TRUE(Await([&] { return program.IsDone(); }));
}

TEST_F(WorkUnderAnOpenGate, HoldsTheCardUntilItIsDone) {
  const uint64_t begin = NowNs();
  EXPECT_EQ(program.Ask("do kernel 20 20000"), "0");
  // The program calls no more, and yet it is not said to be drained before it is.
  hand.Grant(GrantMode::kWait);
  EXPECT_TRUE(Await([&] { return program.work().drained.load() == hand.sequence(); }));
  EXPECT_GE(NowNs() - begin, 400 * kMilli);
  EXPECT_TRUE(program.IsDone());
  EXPECT_TRUE(hand.AwaitBell());
}

TEST_F(WorkUnderAnOpenGate, IsKnownOnceItsLengthIs) {
  EXPECT_EQ(program.Ask("do kernel 1 20000"), "0");
  EXPECT_EQ(program.Ask("sync"), "0");
  EXPECT_TRUE(Await([&] { return program.work().launch_ns.load() >= 15 * kMilli; }));
  const uint64_t begin = NowNs();
  EXPECT_EQ(program.Ask("do kernel 20 20000"), "0");
  hand.Grant(GrantMode::kWait);
  EXPECT_TRUE(Await([&] { return program.work().drained.load() == hand.sequence(); }));
  // By the estimate of what was launched since the last event, at the least.
  EXPECT_GE(NowNs() - begin, 300 * kMilli);
}

TEST_F(AnExpiredGrant, IsAClosedGate) {
  hand.Grant(GrantMode::kRun, kMilli, 1);
  program.Tell("do kernel 1 50");
  ASSERT_TRUE(program.AwaitWaiting(1));
  hand.Grant(GrantMode::kOpen);
  EXPECT_EQ(program.Line(), "0");
}

TEST_F(ACapture, NeverWaits) {
  hand.Grant(GrantMode::kRun);
  EXPECT_EQ(program.Ask("do kernel 20 50"), "0");
  hand.Grant(GrantMode::kWait);
  const uint64_t before = program.work().submitted_ns.load();
  for (const char* mode : {"0", "1", "2"}) {
    EXPECT_EQ(program.Ask(std::string("capture ") + mode + " 100 1000"), "0");
  }
  EXPECT_EQ(program.work().waiting.load(), 0U);
  EXPECT_LE(program.work().submitted_ns.load(), before);
}

TEST_F(WorkInFlight, IsSaidToBeDrainedWithoutAnotherCall) {
  hand.Grant(GrantMode::kRun);
  const uint64_t begin = NowNs();
  EXPECT_EQ(program.Ask("do kernel 6 20000"), "0");
  hand.Grant(GrantMode::kWait);
  EXPECT_TRUE(Await([&] { return program.work().drained.load() == hand.sequence(); }));
  EXPECT_GE(NowNs() - begin, 120 * kMilli);
  EXPECT_TRUE(program.IsDone());
  EXPECT_TRUE(hand.AwaitBell());
  EXPECT_GT(program.work().submitted_ns.load(), 0U);
}

TEST_F(WorkInFlight, EndsByItselfUnderAGrant) {
  hand.Grant(GrantMode::kRun);
  // Known kernels, so that the last ones are launched on credit and no event stands for them.
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(program.Ask("do kernel 20 10"), "0");
    EXPECT_EQ(program.Ask("sync"), "0");
  }
  EXPECT_EQ(program.Ask("do kernel 13 10"), "0");
  EXPECT_TRUE(Await([&] { return program.IsDone(); }));
  EXPECT_TRUE(hand.AwaitBell());
}

TEST_F(ASynchronisation, EndsAllWork) {
  hand.Grant(GrantMode::kRun);
  for (const char* how : {"sync", "syncctx", "query"}) {
    int at_once = 0;
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(program.Ask("do kernel 7 200"), "0");
      EXPECT_TRUE(Await([&] { return program.Ask(how) == "0"; }));
      at_once += program.IsDone() ? 1 : 0;
      EXPECT_TRUE(Await([&] { return program.IsDone(); }));
    }
    // Only where the watch asked the driver just then is it the watch that says so.
    EXPECT_GT(at_once, 0) << how;
  }
  EXPECT_GT(program.work().launch_ns.load(), 0U);
}

TEST_F(WorkInFlight, StaysWithinTheGrant) {
  hand.Grant(GrantMode::kRun);
  EXPECT_EQ(program.Ask("do kernel 1 1000"), "0");
  EXPECT_EQ(program.Ask("sync"), "0");
  hand.Grant(GrantMode::kRun, 3 * kMilli);
  program.Tell("do kernel 200 1000");
  while (!program.HasAnswered()) {
    const uint64_t submitted = program.work().submitted_ns.load();
    const uint64_t finished = program.work().finished_ns.load();
    // What is allowed, what has ended and was not yet asked for, and what goes on where the card
    // stood still: of 200 ms.
    ASSERT_LE(submitted, finished + 50 * kMilli);
  }
  EXPECT_EQ(program.Line(), "0");
  EXPECT_EQ(program.Ask("sync"), "0");
  EXPECT_GE(program.work().finished_ns.load(), 150 * kMilli);
}

TEST_F(WorkOfUnknownLength, IsHandedInAFewAtATime) {
  hand.Grant(GrantMode::kRun, 2 * kMilli);
  const uint64_t begin = NowNs();
  EXPECT_EQ(program.Ask("do kernel 10 20000"), "0");
  // Handed in blindly, 200 ms of work would be on the card at once.
  EXPECT_GE(NowNs() - begin, 80 * kMilli);
}

TEST_F(AKilledProcess, LeavesNoDemand) {
  hand.Grant(GrantMode::kRun);
  EXPECT_EQ(program.Ask("do kernel 3 100000"), "0");
  hand.Grant(GrantMode::kWait);
  program.Tell("do kernel 1 50");
  ASSERT_TRUE(program.AwaitWaiting(1));
  program.Kill();
  EXPECT_FALSE(region::IsAlive(box.ledger_file(), program.slot()));
  EXPECT_TRUE(region::ReclaimIfDead(box.ledger(), box.ledger_file(), program.slot()));
  EXPECT_EQ(program.work().waiting.load(), 0U);
  EXPECT_TRUE(program.IsDone());
}

TEST_F(AThread, ThatEndsAtTheGateIsCountedNoLonger) {
  hand.Grant(GrantMode::kWait);
  EXPECT_EQ(program.Ask("thread kernel 50"), "started");
  ASSERT_TRUE(program.AwaitWaiting(1));
  EXPECT_EQ(program.Ask("die"), "died");
  EXPECT_TRUE(program.AwaitWaiting(0));
  hand.Grant(GrantMode::kRun);
  EXPECT_EQ(program.Ask("do kernel 5 50"), "0");
  EXPECT_EQ(program.Ask("sync"), "0");
  EXPECT_TRUE(program.IsDone());
}

TEST_F(SeveralThreads, StandAtTheGateTogether) {
  hand.Grant(GrantMode::kWait);
  for (uint32_t i = 1; i <= 3; ++i) {
    EXPECT_EQ(program.Ask("thread kernel 50"), "started");
    ASSERT_TRUE(program.AwaitWaiting(i));
  }
  hand.Grant(GrantMode::kRun);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(program.Line(), "done 0");
  }
  EXPECT_EQ(program.work().waiting.load(), 0U);
}

TEST_F(AForkedChild, IsNotHeldByItsParentsGate) {
  hand.Grant(GrantMode::kRun);
  EXPECT_EQ(program.Ask("do kernel 20 1000"), "0");
  // The driver serves no forked child: its launch is refused, and nothing waits or is counted.
  EXPECT_NE(program.Ask("fork kernel"), "0");
  EXPECT_EQ(program.work().waiting.load(), 0U);
  EXPECT_EQ(program.Ask("do kernel 20 1000"), "0");
  hand.Grant(GrantMode::kWait);
  EXPECT_TRUE(Await([&] { return program.work().drained.load() == hand.sequence(); }));
}

TEST_F(WithoutAnAgent, AShareIsPacedToItsGuarantee) {
  box.policy().devices[0].guarantee_millis = 500;
  hand.Grant(GrantMode::kRun);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(program.Ask("do kernel 1 10000"), "0");
    EXPECT_EQ(program.Ask("sync"), "0");
  }
  EXPECT_TRUE(Await([&] { return program.work().launch_ns.load() >= 8 * kMilli; }))
      << program.work().launch_ns.load();
  hand.Grant(GrantMode::kWait);
  hand.FallSilent();
  const uint64_t begin = NowNs();
  EXPECT_EQ(program.Ask("do kernel 30 10000"), "0");
  // 300 ms of work at a half, the first tolerance and the last launch off.
  EXPECT_GE(NowNs() - begin, 450 * kMilli);
  EXPECT_EQ(program.work().waiting.load(), 0U);
  // The agent is back: its word holds again.
  hand.ComeBack();
  program.Tell("do kernel 1 50");
  EXPECT_TRUE(program.AwaitWaiting(1));
  hand.Grant(GrantMode::kOpen);
  EXPECT_EQ(program.Line(), "0");
}

TEST_F(WithoutAnAgent, BestEffortGoesOnSlowly) {
  hand.FallSilent();
  hand.Grant(GrantMode::kWait);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(program.Ask("do kernel 1 5000"), "0");
    EXPECT_EQ(program.Ask("sync"), "0");
  }
  EXPECT_TRUE(Await([&] { return program.work().launch_ns.load() >= 4 * kMilli; }))
      << program.work().launch_ns.load();
  const uint64_t begin = NowNs();
  EXPECT_EQ(program.Ask("do kernel 4 5000"), "0");
  EXPECT_GE(NowNs() - begin, 200 * kMilli);
}

TEST_F(PagesOfAnyBytes, HoldNobodyForEver) {
  const uint64_t seed = SystemRandom().Next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  SeededRandom random(seed);
  for (int round = 0; round < 50; ++round) {
    region::SlotDevice& work = program.work();
    work.submitted_ns = random.Next();
    work.finished_ns = random.Next();
    work.drained = static_cast<uint32_t>(random.Next());
    work.launch_ns = random.Next();
    box.ledger().devices[0].paced_until_ns = round % 2 == 0 ? random.Next() : UINT64_MAX - 5;
    region::ComputeGrant& grant = box.policy().grants[0];
    grant.in_flight_ns = random.Next() >> random.Next() % 64;
    grant.until_ns = random.Next();
    grant.word = static_cast<uint32_t>(random.Next());
    program.Tell("do kernel 5 100");
    hand.Grant(round % 3 == 0 ? GrantMode::kOpen : GrantMode::kRun, random.Next() % 4);
    ASSERT_EQ(program.Line(), "0") << round;
  }
}

// Two cards in one share.
struct Pair {
  Pair() {
    region::PolicyDevice& second = box.policy().devices[1];
    EXPECT_TRUE(region::ParseUuid(box.Uuid(1).c_str(), second.uuid));
    second.memory_limit_bytes = uint64_t{1} << 30;
    box.policy().device_count = 2;
    hand.emplace(box);
    program.emplace(box);
  }
  // As the agent tells the second card, with the sequence of the first.
  void GrantSecond(GrantMode mode) {
    region::ComputeGrant& grant = box.policy().grants[1];
    grant.until_ns = NowNs() + 3600'000 * kMilli;
    grant.in_flight_ns = 1000 * kMilli;
    grant.word = region::GrantWord(++sequence, mode);
    syscall(SYS_futex, &grant.word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
  region::SlotDevice& on_second() { return box.ledger().slots[program->slot()].devices[1]; }

  ShareBox box{{.fleet = "2x24GiB"}};
  std::optional<Hand> hand;
  std::optional<Program> program;
  uint32_t sequence = 0;
};

TEST(AShareOfSeveralCards, IsHeldByTheCardOfTheContext) {
  Pair pair;
  Hand& hand = *pair.hand;
  Program& program = *pair.program;
  EXPECT_EQ(program.Ask("do kernel 5 10"), "0");
  hand.Grant(GrantMode::kWait);
  program.Tell("do kernel 100 10");
  ASSERT_TRUE(program.AwaitWaiting(1));
  hand.Grant(GrantMode::kRun);
  EXPECT_EQ(program.Line(), "0");
  EXPECT_TRUE(Await([&] { return program.IsDone(); }));
  EXPECT_GE(program.work().submitted_ns.load(), 500'000U);
  EXPECT_EQ(pair.on_second().submitted_ns.load(), 0U);
  // The other card's word alone closes nothing here.
  hand.Grant(GrantMode::kOpen);
  pair.GrantSecond(GrantMode::kWait);
  EXPECT_EQ(program.Ask("do kernel 5 10"), "0");
}

TEST(ALaunchOnSeveralCards, StandsAtTheGateOfEach) {
  Pair pair;
  Hand& hand = *pair.hand;
  Program& program = *pair.program;
  EXPECT_EQ(program.Ask("both 10"), "0");
  for (const bool first_closed : {true, false}) {
    SCOPED_TRACE(first_closed);
    hand.Grant(first_closed ? GrantMode::kWait : GrantMode::kRun);
    pair.GrantSecond(first_closed ? GrantMode::kRun : GrantMode::kWait);
    region::SlotDevice& closed = first_closed ? program.work() : pair.on_second();
    program.Tell("both 10");
    ASSERT_TRUE(Await([&] { return closed.waiting.load() == 1; }));
    EXPECT_FALSE(program.HasAnswered());
    hand.Grant(GrantMode::kRun);
    pair.GrantSecond(GrantMode::kRun);
    EXPECT_EQ(program.Line(), "0");
    EXPECT_EQ(closed.waiting.load(), 0U);
  }
  EXPECT_GT(program.work().submitted_ns.load(), 0U);
  EXPECT_GT(pair.on_second().submitted_ns.load(), 0U);
  for (const GrantMode mode : {GrantMode::kRun, GrantMode::kWait}) {
    hand.Grant(mode);
    pair.GrantSecond(mode);
  }
  EXPECT_TRUE(Await([&] { return program.work().drained.load() == hand.sequence(); }));
  EXPECT_TRUE(Await([&] { return pair.on_second().drained.load() == pair.sequence; }));
}

TEST_F(AnEndingContext, TakesNothingFromTheGate) {
  hand.Grant(GrantMode::kRun);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(program.Ask("do kernel 20 500"), "0");
    EXPECT_EQ(program.Ask("release"), "0");
  }
  hand.Grant(GrantMode::kWait);
  EXPECT_TRUE(Await([&] { return program.work().drained.load() == hand.sequence(); }));
}

TEST_F(TheWatch, IsThereOnceWorkWasLaunched) {
  EXPECT_EQ(program.Ask("watch"), "0");
  EXPECT_EQ(program.Ask("do kernel 1 10"), "0");
  EXPECT_TRUE(Await([&] { return program.Ask("watch") == "1"; }));
}

// Work for longer than the program looks: the watch would wake each millisecond.
TEST_F(TheWatch, RestsBeforeTheDriverIsTornDown) {
  hand.Grant(GrantMode::kRun);
  EXPECT_EQ(program.Ask("do kernel 1 10"), "0");
  EXPECT_TRUE(hand.AwaitBell());  // The watch is there and has looked.
  EXPECT_EQ(program.Ask("do kernel 1 60000000"), "0");
  EXPECT_EQ(program.Ask("leave"), "still");
}

}  // namespace
}  // namespace sluice::shim
