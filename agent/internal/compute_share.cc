// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/compute_share.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice::agent {

using namespace std::chrono_literals;
using region::GrantMode;

namespace {

constexpr uint32_t kSequenceMask = (uint32_t{1} << 30) - 1;

// A bell that rings more often than this is not listened to until the time is over.
constexpr int kRingsMax = 50;
constexpr Nanos kRingsTime = 10ms;

// What is published is the mean over the last second; a little more, as beats come when they come.
constexpr Nanos kPastMax = 1100ms;

constexpr Nanos kSeenTime = 1s;

// Threads woken by one change: a tenant can have any number asleep, and all other shares wait while
// they are woken. The rest look again by themselves, within a tenth of a second.
constexpr int kWokenMax = 64;

// More work than anybody can have handed in says that the figures are nonsense.
constexpr uint64_t kFlightNsMax = 1'000'000'000'000;

}  // namespace

Observation ReadSlots(const region::LedgerPage& page, int device, uint32_t word) {
  Observation all;
  uint64_t flight_ns = 0;
  uint64_t launch_ns = 0;
  for (int slot = region::NextTaken(page, 0); slot >= 0; slot = region::NextTaken(page, slot + 1)) {
    const region::SlotDevice& work = page.slots[slot].devices[device];
    const uint32_t drained = work.drained.load(std::memory_order_acquire);
    const uint64_t submitted = work.submitted_ns.load(std::memory_order_acquire);
    const uint64_t finished = work.finished_ns.load(std::memory_order_relaxed);
    const bool waits = work.waiting.load(std::memory_order_relaxed) > 0;
    const uint64_t left = submitted > finished ? submitted - finished : 0;
    const bool done = region::ModeOf(word) == GrantMode::kWait &&
                      (drained & kSequenceMask) == region::SequenceOf(word);
    all.waiting = all.waiting || waits;
    all.busy = all.busy || (left > 0 && !done);
    flight_ns = std::min(flight_ns + std::min(left, kFlightNsMax), kFlightNsMax);
    if (waits || left > 0) {
      launch_ns = std::max(launch_ns, work.launch_ns.load(std::memory_order_relaxed));
    }
    all.submitted_ns += submitted;
    all.finished_ns += finished;
  }
  all.in_flight = Nanos(static_cast<int64_t>(flight_ns));
  all.launch = Nanos(static_cast<int64_t>(std::min(launch_ns, kFlightNsMax)));
  return all;
}

Result<void> MakeBell(const std::string& folder, uint32_t tenant_uid) {
  const std::string path = folder + "/bell";
  if (mkfifo(path.c_str(), 0600) != 0 && errno != EEXIST) {
    return Fail(FromErrno(errno, "making", path));
  }
  if (tenant_uid != geteuid() && lchown(path.c_str(), tenant_uid, static_cast<gid_t>(-1)) != 0) {
    return Fail(FromErrno(errno, "giving the share's user", path));
  }
  return {};
}

region::PolicyPage& ComputeShare::policy() const {
  return *static_cast<region::PolicyPage*>(policy_map_->at());
}
const region::LedgerPage& ComputeShare::ledger() const {
  return *static_cast<const region::LedgerPage*>(ledger_map_->at());
}

Result<std::unique_ptr<ComputeShare>> ComputeShare::Open(const std::string& folder) {
  std::unique_ptr<ComputeShare> share(new ComputeShare());
  const File policy_file(open((folder + "/policy").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  share->ledger_file_ = File(open((folder + "/ledger").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!policy_file || !share->ledger_file_) {
    return Fail(FromErrno(errno, "opening the pages in", folder));
  }
  auto policy_map = Map(policy_file, sizeof(region::PolicyPage));
  if (!policy_map) {
    return Fail(policy_map.error());
  }
  share->policy_map_ = std::move(*policy_map);
  auto ledger_map = Map(share->ledger_file_, sizeof(region::LedgerPage), Access::kRead);
  if (!ledger_map) {
    return Fail(ledger_map.error());
  }
  share->ledger_map_ = std::move(*ledger_map);
  share->guard_ = std::make_unique<BusGuard>(share->ledger_map_->at(), share->ledger_map_->bytes());
  if (!share->guard_->ok()) {
    return Fail(Code::kResourceExhausted, "too many shares on this machine");
  }
  if (!region::IsReadable(share->policy())) {
    return Fail(Code::kDataLoss, "the policy page in " + folder + " is of another version");
  }
  // For reading and writing: the last writer that goes must not be an event.
  File bell(open((folder + "/bell").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  struct stat status = {};
  if (bell && fstat(bell.get(), &status) == 0 && S_ISFIFO(status.st_mode)) {
    share->bell_ = std::move(bell);
  }
  share->told_.resize(share->policy().device_count);
  for (size_t i = 0; i < share->told_.size(); ++i) {
    share->told_[i].word = share->policy().grants[i].word.load(std::memory_order_relaxed);
  }
  return share;
}

bool ComputeShare::IsCurrent(const std::string& folder) const {
  struct stat mine = {};
  struct stat there = {};
  return fstat(ledger_file_.get(), &mine) == 0 && stat((folder + "/ledger").c_str(), &there) == 0 &&
         mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

std::string ComputeShare::GpuText(size_t device) const {
  const char* const text = policy().devices[device].uuid_text;
  return {text, strnlen(text, sizeof(policy().devices[device].uuid_text))};
}

CardTerms ComputeShare::TermsOf(size_t device) const {
  const region::PolicyDevice& page = policy().devices[device];
  // Nothing was ever granted: a page of zeros is not an open gate.
  const uint32_t word = told_[device].word;
  return {.card = 0,
          .guarantee_millis = page.guarantee_millis,
          .cap_millis = page.cap_millis,
          .found = word == 0 ? GrantMode::kWait : region::ModeOf(word)};
}

Observation ComputeShare::Read(size_t device) const {
  return ReadSlots(ledger(), static_cast<int>(device), told_[device].word);
}

void ComputeShare::Tell(size_t device, const Grant& grant) {
  region::ComputeGrant& page = policy().grants[device];
  page.until_ns.store(static_cast<uint64_t>(grant.until.count()), std::memory_order_relaxed);
  page.in_flight_ns.store(static_cast<uint64_t>(grant.in_flight.count()),
                          std::memory_order_relaxed);
  if (!grant.fresh) {
    return;
  }
  uint32_t& word = told_[device].word;
  word = region::GrantWord((region::SequenceOf(word) + 1) & kSequenceMask, grant.mode);
  page.word.store(word, std::memory_order_seq_cst);
  // Not a private futex: those who wait map the file for reading, in other processes.
  syscall(SYS_futex, &page.word, FUTEX_WAKE, kWokenMax, nullptr, nullptr, 0);
}

// The agent makes a ledger whole that its tenant cut short; this mapping then needs its pages.
void ComputeShare::Repair() {
  damaged_ = guard_->TakeDamage() || damaged_;
  struct stat status = {};
  const size_t bytes = ledger_map_->bytes();
  if (damaged_ && fstat(ledger_file_.get(), &status) == 0 &&
      status.st_size >= static_cast<off_t>(bytes)) {
    damaged_ =
        mmap(ledger_map_->at(), bytes, PROT_READ, MAP_SHARED | MAP_FIXED, ledger_file_.get(), 0) ==
        MAP_FAILED;
  }
}

void ComputeShare::Beat(Nanos now) {
  Repair();
  policy().heartbeat_ms.store(static_cast<uint64_t>(now / 1ms), std::memory_order_relaxed);
}

void ComputeShare::Publish(size_t device, const SeatAccount& account, Nanos now) {
  std::deque<Past>& past = told_[device].past;
  while (past.size() > 1 && now - past.front().at > kPastMax) {
    past.pop_front();
  }
  const auto millis = [](Nanos part, Nanos whole) {
    return static_cast<uint32_t>(std::clamp<int64_t>(part * 1000 / whole, 0, 1000));
  };
  region::PolicyDevice& page = policy().devices[device];
  if (!past.empty() && now > past.front().at) {
    const Past& then = past.front();
    const bool open = account.mode == GrantMode::kOpen;
    page.used_millis = open ? static_cast<uint32_t>(told_[device].percent) * 10
                            : millis(account.held - then.held, now - then.at);
    page.waiting_millis = millis(account.waiting - then.waiting, now - then.at);
  }
  past.push_back({now, account.held, account.waiting});
}

void ComputeShare::Sampled(size_t device, int percent, Nanos now) {
  Device& told = told_[device];
  told.percent = std::clamp(percent, 0, 100);
  if (told.seen_at >= 0ns) {
    told.seen_busy += (now - told.seen_at) * told.percent / 100;
  } else {
    told.seen_since = now;
  }
  told.seen_at = now;
}

std::optional<ComputeShare::Seen> ComputeShare::TakeSeen(size_t device, Nanos now) {
  Device& told = told_[device];
  if (told.seen_since < 0ns || now - told.seen_since < kSeenTime) {
    return std::nullopt;
  }
  const Seen seen{told.seen_busy, now - told.seen_since};
  told.seen_busy = 0ns;
  told.seen_since = now;
  return seen;
}

bool ComputeShare::Listen(Nanos now) {
  char bytes[4096];
  [[maybe_unused]] const ssize_t count = read(bell_.get(), bytes, sizeof(bytes));
  if (now - rings_since_ > kRingsTime) {
    rings_since_ = now;
    rings_ = 0;
  }
  if (++rings_ > kRingsMax) {
    muted_until_ = rings_since_ + kRingsTime;
  }
  return muted_until_ > now;
}

}  // namespace sluice::agent
