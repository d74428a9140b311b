// SPDX-License-Identifier: Apache-2.0
// The arbiter's thread with processes that speak through real pages, bells and futexes.
#include "agent/internal/compute.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <random>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "agent/internal/compute_share.h"
#include "agent/internal/files.h"
#include "agent/internal/share_region.h"

namespace sluice::agent {
namespace {

using namespace std::chrono_literals;
using region::GrantMode;

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

// Whether that thread of this process, if there is one, is asleep.
bool Sleeps(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string line;
  return std::getline(file, line) && line.find(") S ") != std::string::npos;
}

// One share as its processes see it: the policy for reading, one slot of the ledger, the bell.
class Tenant {
 public:
  explicit Tenant(const std::string& folder) {
    const int policy = open((folder + "/policy").c_str(), O_RDONLY | O_CLOEXEC);
    ledger_file_ = open((folder + "/ledger").c_str(), O_RDWR | O_CLOEXEC);
    bell_ = open((folder + "/bell").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    EXPECT_GE(bell_, 0);
    policy_ = static_cast<const region::PolicyPage*>(
        mmap(nullptr, sizeof(region::PolicyPage), PROT_READ, MAP_SHARED, policy, 0));
    ledger_ = static_cast<region::LedgerPage*>(mmap(
        nullptr, sizeof(region::LedgerPage), PROT_READ | PROT_WRITE, MAP_SHARED, ledger_file_, 0));
    close(policy);
    slot_ = region::TakeSlot(*ledger_, ledger_file_, 0, static_cast<uint32_t>(getpid()));
    EXPECT_GE(slot_, 0);
  }
  Tenant(const Tenant&) = delete;
  Tenant& operator=(const Tenant&) = delete;
  ~Tenant() {
    close(bell_);
    close(ledger_file_);
  }

  const region::PolicyPage& policy() const { return *policy_; }
  const region::ComputeGrant& grant(int card = 0) const { return policy_->grants[card]; }
  region::LedgerPage& ledger() { return *ledger_; }
  region::SlotDevice& slot(int card = 0) { return ledger_->slots[slot_].devices[card]; }
  GrantMode mode(int card = 0) const { return region::ModeOf(grant(card).word.load()); }
  void Ring() const { EXPECT_EQ(write(bell_, "", 1), 1); }
  // Until the bell is full, and on.
  void RingOn() const {
    for (int i = 0; i < 100; ++i) {
      [[maybe_unused]] const ssize_t written = write(bell_, "", 1);
    }
  }

  // As a gate: stands, rings, sleeps until the grant changes, and hands work in.
  void Submit(uint64_t ns) {
    slot().waiting.fetch_add(1);
    while (mode() == GrantMode::kWait) {
      const uint32_t word = grant().word.load();
      Ring();
      if (region::ModeOf(word) == GrantMode::kWait) {
        Sleep(word, 100ms);
      }
    }
    slot().submitted_ns.fetch_add(ns);
    slot().waiting.fetch_sub(1);
  }
  void Finish() { slot().finished_ns.store(slot().submitted_ns.load()); }
  // Nothing is in flight any more: says so at whatever grant stands.
  void Drained() {
    Finish();
    slot().drained.store(region::SequenceOf(grant().word.load()));
    Ring();
  }
  // True: woken; false: the time was over, or the word was another.
  bool Sleep(uint32_t word, std::chrono::milliseconds time) const {
    const timespec span = {time.count() / 1000, time.count() % 1000 * 1'000'000};
    return syscall(SYS_futex, &grant().word, FUTEX_WAIT, word, &span, nullptr, 0) == 0;
  }

 private:
  int ledger_file_ = -1;
  int bell_ = -1;
  int slot_ = -1;
  const region::PolicyPage* policy_ = nullptr;
  region::LedgerPage* ledger_ = nullptr;
};

class ComputeTest : public ::testing::Test {
 protected:
  ComputeTest() {
    folder_ = ::testing::TempDir() + "sluice-compute-XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    Restart();
  }
  ~ComputeTest() override {
    compute_.reset();
    regions_.clear();
    std::filesystem::remove_all(folder_);
  }

  void Restart(const ArbiterOptions& options = {}) {
    compute_.reset();
    auto compute = Compute::Start(options);
    ASSERT_TRUE(compute);
    compute_ = std::move(*compute);
  }

  std::string FolderOf(const std::string& claim) const { return folder_ + "/" + claim; }
  std::unique_ptr<Tenant> Join(const std::string& claim, int64_t guarantee, int64_t cap = 0) {
    ShareSpec spec;
    spec.claim = ClaimId(claim);
    spec.tenant_uid = geteuid();
    const std::vector<ShareRegion::Card> cards = {
        {{GpuId("GPU-00112233-4455-6677-8899-aabbccddeeff"),
          1_GiB,
          ComputeMillis(guarantee),
          ComputeMillis(cap)},
         true}};
    auto made = ShareRegion::Make(FolderOf(claim), spec, cards, Bytes(0));
    EXPECT_TRUE(made) << made.error().message;
    regions_.push_back(std::move(*made));
    const auto joined = compute_->Join(ClaimId(claim), FolderOf(claim));
    EXPECT_TRUE(joined) << joined.error().message;
    return std::make_unique<Tenant>(FolderOf(claim));
  }

  std::string folder_;
  std::unique_ptr<Compute> compute_;
  std::vector<std::unique_ptr<ShareRegion>> regions_;
};

TEST_F(ComputeTest, OpensTheGateOfAShareThatIsAloneBeforeItIsHandedOut) {
  const auto alone = Join("a", 300);
  EXPECT_EQ(alone->mode(), GrantMode::kOpen);
  EXPECT_NE(alone->grant().word.load(), 0U);
  EXPECT_NE(alone->policy().heartbeat_ms.load(), 0U);
  const auto other = Join("b", 300);
  EXPECT_EQ(other->mode(), GrantMode::kWait);
  EXPECT_NE(alone->mode(), GrantMode::kOpen);
  compute_->Leave(ClaimId("b"));
  EXPECT_TRUE(Eventually([&] { return alone->mode() == GrantMode::kOpen; }));
}

TEST_F(ComputeTest, GivesTheCardToWhoeverRingsAndTakesItBackForTheNext) {
  const auto a = Join("a", 500);
  const auto b = Join("b", 500);
  a->Submit(1'000'000);
  EXPECT_EQ(a->mode(), GrantMode::kRun);
  EXPECT_GT(a->grant().in_flight_ns.load(), 0U);
  std::thread second([&] { b->Submit(1'000'000); });
  // The first one's work is still on the card: the second must wait for it.
  EXPECT_TRUE(Eventually([&] { return a->mode() == GrantMode::kWait; }));
  a->Drained();
  second.join();
  EXPECT_EQ(b->mode(), GrantMode::kRun);
  EXPECT_EQ(a->mode(), GrantMode::kWait);
  b->Drained();
}

TEST_F(ComputeTest, WakesWhoSleepsOnAMappingForReading) {
  const auto a = Join("a", 500);
  const auto b = Join("b", 500);
  std::atomic<bool> woken{false};
  for (int i = 0; i < 200 && !woken; ++i) {
    const uint32_t word = b->grant().word.load();
    std::thread sleeper([&] { woken = b->Sleep(word, 10s); });
    // Asks over and over, so that the change comes after the sleep began at least once.
    b->slot().waiting.store(1);
    b->Ring();
    EXPECT_TRUE(Eventually([&] { return b->grant().word.load() != word; }));
    sleeper.join();
    b->slot().waiting.store(0);
    a->slot().waiting.store(1);
    a->Ring();
    EXPECT_TRUE(Eventually([&] {
      b->Drained();
      return a->mode() == GrantMode::kRun;
    }));
    a->slot().waiting.store(0);
    b->slot().waiting.store(1);
    EXPECT_TRUE(Eventually([&] {
      a->Drained();
      b->Ring();
      return b->mode() == GrantMode::kRun;
    }));
    b->slot().waiting.store(0);
    a->slot().waiting.store(1);
    EXPECT_TRUE(Eventually([&] {
      b->Drained();
      a->Ring();
      return b->mode() == GrantMode::kWait;
    }));
    a->slot().waiting.store(0);
  }
  EXPECT_TRUE(woken);
}

TEST_F(ComputeTest, WakesFewWhereManySleep) {
  const auto tenant = Join("a", 500);
  compute_.reset();  // The grants here are the test's alone.
  const auto share = ComputeShare::Open(FolderOf("a"));
  ASSERT_TRUE(share);
  constexpr size_t kSleepers = 80;
  const uint32_t word = tenant->grant().word.load();
  std::vector<std::atomic<pid_t>> numbers(kSleepers);
  std::vector<std::thread> sleepers;
  for (size_t i = 0; i < kSleepers; ++i) {
    sleepers.emplace_back([&, i] {
      numbers[i] = static_cast<pid_t>(syscall(SYS_gettid));
      tenant->Sleep(word, 60s);
    });
  }
  EXPECT_TRUE(Eventually(
      [&] { return std::ranges::all_of(numbers, [](const auto& n) { return Sleeps(n); }); }));
  (*share)->Tell(0, {.seat = {}, .mode = GrantMode::kRun, .fresh = true});
  EXPECT_NE(tenant->grant().word.load(), word);
  const long left =
      syscall(SYS_futex, &tenant->grant().word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  EXPECT_EQ(left, static_cast<long>(kSleepers) - 64);
  for (std::thread& sleeper : sleepers) {
    sleeper.join();
  }
}

TEST_F(ComputeTest, GoesOnAfterAFolderWithoutPages) {
  EXPECT_FALSE(compute_->Join(ClaimId("ghost"), FolderOf("ghost")));
  const auto a = Join("a", 500);
  EXPECT_EQ(a->mode(), GrantMode::kOpen);
  EXPECT_FALSE(compute_->Join(ClaimId("ghost"), FolderOf("ghost")));
  compute_->Leave(ClaimId("ghost"));
  const auto ghost = Join("ghost", 500);
  EXPECT_EQ(ghost->mode(), GrantMode::kWait);
}

TEST(FileLimit, IsRaisedToWhatIsAllowed) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 256;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  RaiseFileLimit();
  rlimit after = {};
  EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, std::min<rlim_t>(before.rlim_max, 65'536));
  EXPECT_EQ(after.rlim_max, before.rlim_max);
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST_F(ComputeTest, BeatsWhileNothingHappens) {
  const auto a = Join("a", 500);
  const uint64_t first = a->policy().heartbeat_ms.load();
  EXPECT_TRUE(Eventually([&] { return a->policy().heartbeat_ms.load() > first; }));
}

TEST_F(ComputeTest, TakesOverWhereTheFormerAgentLeft) {
  const auto a = Join("a", 500);
  const auto b = Join("b", 500);
  a->Submit(1'000'000);
  const uint32_t before = region::SequenceOf(a->grant().word.load());
  Restart();
  ASSERT_TRUE(compute_->Join(ClaimId("a"), FolderOf("a")));
  ASSERT_TRUE(compute_->Join(ClaimId("b"), FolderOf("b")));
  EXPECT_EQ(a->mode(), GrantMode::kRun);
  EXPECT_EQ(b->mode(), GrantMode::kWait);
  EXPECT_GE(region::SequenceOf(a->grant().word.load()), before);
  std::thread second([&] { b->Submit(1'000'000); });
  EXPECT_TRUE(Eventually([&] {
    a->Drained();
    return b->mode() == GrantMode::kRun;
  }));
  second.join();
}

TEST_F(ComputeTest, ReadsItsTermsAgainWhenTheyChange) {
  const auto a = Join("a", 500);
  EXPECT_EQ(a->mode(), GrantMode::kOpen);
  // A cap closes the gate even of a share that is alone.
  ASSERT_TRUE(regions_[0]->Resize(
      {{regions_[0]->gpus()[0], 1_GiB, ComputeMillis(200), ComputeMillis(400)}}));
  ASSERT_TRUE(compute_->Join(ClaimId("a"), FolderOf("a")));
  EXPECT_EQ(a->mode(), GrantMode::kWait);
  a->Submit(1'000'000);
  EXPECT_EQ(a->mode(), GrantMode::kRun);
}

TEST_F(ComputeTest, SaysWhatWasUsedAndWaitedFor) {
  const auto a = Join("a", 500);
  const auto b = Join("b", 500);
  a->slot().waiting.store(1);
  a->slot().submitted_ns.store(1);
  b->slot().submitted_ns.store(1);
  b->slot().waiting.store(1);
  a->Ring();
  const auto& device = a->policy().devices[0];
  EXPECT_TRUE(Eventually([&] {
    a->slot().submitted_ns.fetch_add(1000);
    b->slot().submitted_ns.fetch_add(1000);
    return device.used_millis.load() > 100 && device.waiting_millis.load() > 100;
  }));
  EXPECT_LE(device.used_millis.load(), 1000U);
}

TEST_F(ComputeTest, ShowsTheDriversSampleWhereNothingIsHeld) {
  const auto a = Join("a", 500);
  EXPECT_TRUE(Eventually([&] {
    compute_->Sampled(ClaimId("a"), 0, 40);
    return a->policy().devices[0].used_millis.load() == 400;
  }));
}

TEST_F(ComputeTest, OpensEveryGateWhereSomethingElseDividesTheCard) {
  Restart({.open = true});
  const auto a = Join("a", 500);
  const auto b = Join("b", 500, 600);
  EXPECT_EQ(a->mode(), GrantMode::kOpen);
  EXPECT_EQ(b->mode(), GrantMode::kOpen);
}

TEST_F(ComputeTest, ServesOthersBesideAPageOfAnyBytesAndABellWithoutPause) {
  const auto bad = Join("bad", 500);
  const auto good = Join("good", 500);
  std::atomic<bool> stop{false};
  std::thread noise([&] {
    std::mt19937_64 random(7);
    auto* const words = reinterpret_cast<std::atomic<uint64_t>*>(&bad->ledger());
    constexpr size_t kWords = sizeof(region::LedgerPage) / 8;
    while (!stop) {
      for (int i = 0; i < 1000; ++i) {
        words[random() % kWords].store(random() % 3 == 0 ? ~uint64_t{0} : random());
      }
      bad->RingOn();
    }
  });
  for (int i = 0; i < 3; ++i) {
    good->Submit(1000);
    good->Drained();
    EXPECT_TRUE(Eventually([&] {
      good->Finish();
      return good->mode() == GrantMode::kWait;
    }));
  }
  stop = true;
  noise.join();
}

TEST_F(ComputeTest, GoesOnAfterALedgerWasCutShort) {
  const auto bad = Join("bad", 500);
  const auto good = Join("good", 500);
  ASSERT_EQ(truncate((FolderOf("bad") + "/ledger").c_str(), 0), 0);
  for (int i = 0; i < 5; ++i) {
    good->Submit(1000);
    good->Drained();
  }
  EXPECT_EQ(good->mode(), GrantMode::kRun);
  // Made whole, it is listened to again.
  regions_[0]->Sweep();  // Finds it,
  regions_[0]->Sweep();  // and makes it whole.
  EXPECT_TRUE(Eventually([&] {
    bad->ledger().taken[0].store(1);
    bad->ledger().slots[0].devices[0].waiting.store(1);
    bad->Ring();
    good->Drained();
    return bad->mode() == GrantMode::kRun;
  }));
}

}  // namespace
}  // namespace sluice::agent
