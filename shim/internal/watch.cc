// SPDX-License-Identifier: Apache-2.0
#include "shim/internal/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/internal/driver.h"
#include "shim/internal/elf.h"
#include "shim/internal/flight.h"
#include "shim/internal/gate.h"
#include "shim/internal/os.h"
#include "shim/internal/points.h"
#include "shim/internal/wait.h"

extern "C" int __cxa_atexit(void (*function)(void*), void* argument, void* dso_handle);

namespace sluice::shim {
namespace {

constexpr uint64_t kMicro = 1'000;
constexpr uint64_t kMilli = 1'000'000;

// Between looks: at work that must end soon, at work that may go on, with others who want the card
// and without, and at nothing.
constexpr uint64_t kClosedNsMin = 50 * kMicro;
constexpr uint64_t kClosedNsMax = 1 * kMilli;
constexpr uint64_t kRunningNs = 1 * kMilli;
constexpr uint64_t kOpenNs = 100 * kMilli;
constexpr uint64_t kIdleNs = 5 * kMilli;
// With nothing in flight for so long it sleeps until it is woken.
constexpr uint64_t kDozeAfterNs = 50 * kMilli;
constexpr uint64_t kDozeNs = 60'000 * kMilli;
// With threads at the gate, ended ones are looked for this often.
constexpr uint64_t kStandingNs = 100 * kMilli;
constexpr uint64_t kAgainNs = 1'000 * kMilli;
constexpr size_t kStackBytes = size_t{512} << 10;

enum Watcher : uint32_t { kNone = 0, kAwake = 1, kDozes = 2, kBegins = 3 };
constinit std::atomic<uint32_t> watcher{kNone};
constinit std::atomic<uint32_t> beginner{0};  // The thread that starts it.
constinit std::atomic<uint64_t> failed_ns{0};
constinit std::atomic<uint32_t> cards{0};  // One bit per card that was ever gated.

// At the process's end the driver goes away under the watch, which must be out of it by then.
constexpr uint64_t kStopNs = 100 * kMilli;
constexpr uint32_t kStopLookUs = 100;
struct Stop {
  std::atomic<bool> registered{false};  // Survives a fork, as the registration does.
  std::atomic<int> pid{0};              // Of the process whose watch this is.
  std::atomic<uint32_t> thread{0};
  std::atomic<bool> told{false};
  std::atomic<bool> driving{false};  // The watch is at the driver, or about to be.
};
constinit Stop stop;

// While it lives, the watch may call the driver. Once the process ends none begins any more: the
// thread stands still for the rest, as its own end would run destructors of the driver's.
class AtDriver {
 public:
  AtDriver() {
    stop.driving.store(true, std::memory_order_seq_cst);
    while (stop.told.load(std::memory_order_seq_cst)) {
      stop.driving.store(false, std::memory_order_release);
      static constinit std::atomic<uint32_t> never{0};
      AwaitChange(never, 0, kDozeNs);
    }
  }
  AtDriver(const AtDriver&) = delete;
  AtDriver& operator=(const AtDriver&) = delete;
  ~AtDriver() { stop.driving.store(false, std::memory_order_release); }
};

// Run by exit, before whatever the driver registered when it was loaded. Waits for a bounded time
// only: the caller may be the driver's thread or hold its locks.
void StopWatch(void*) {
  const int kept = errno;
  if (stop.pid.load(std::memory_order_relaxed) == getpid()) {
    stop.told.store(true, std::memory_order_seq_cst);
    const uint64_t end = NowNs() + kStopNs;
    while (stop.thread.load(std::memory_order_relaxed) != ThreadNumber() &&
           stop.driving.load(std::memory_order_seq_cst) && NowNs() < end) {
      Nap(kStopLookUs);
    }
  }
  errno = kept;
}

void RegisterStop() {
  stop.pid.store(getpid(), std::memory_order_relaxed);
  if (!stop.registered.exchange(true, std::memory_order_relaxed) &&
      __cxa_atexit(StopWatch, nullptr, nullptr) != 0) {
    stop.registered.store(false, std::memory_order_relaxed);
  }
}

constexpr int kLowestFile = 768;
struct Bell {
  std::atomic<int> file{-1};
  std::atomic<uint64_t> device{0};
  std::atomic<uint64_t> inode{0};
  std::atomic<uint64_t> tried_ns{0};
};
constinit Bell bell;

// As fstat, whose name is younger than what we may need of glibc.
bool StatFile(int file, struct stat& found) {
  return syscall(SYS_fstat, file, &found) == 0;
}

// Programs close files that they do not know and open others: a byte goes only into the bell.
bool IsBell(int file) {
  struct stat found = {};
  return file >= 0 && StatFile(file, found) && S_ISFIFO(found.st_mode) &&
         found.st_dev == bell.device.load(std::memory_order_relaxed) &&
         found.st_ino == bell.inode.load(std::memory_order_relaxed);
}

// Opened for reading, too: a writer without any reader would be sent a signal.
int OpenBell() {
  const uint64_t now = NowNs();
  uint64_t tried = bell.tried_ns.load(std::memory_order_relaxed);
  if ((tried != 0 && now - tried < kAgainNs) ||
      !bell.tried_ns.compare_exchange_strong(tried, now, std::memory_order_relaxed)) {
    return -1;
  }
  const int low = OpenFile(region::kBellPath, O_RDWR | O_NONBLOCK);
  struct stat found = {};
  if (low < 0 || !StatFile(low, found) || !S_ISFIFO(found.st_mode)) {
    if (low >= 0) {
      CloseFile(low);
    }
    return -1;
  }
  const int high = fcntl(low, F_DUPFD_CLOEXEC, kLowestFile);
  if (high >= 0) {
    CloseFile(low);
  }
  const int file = high >= 0 ? high : low;
  bell.device.store(found.st_dev, std::memory_order_relaxed);
  bell.inode.store(found.st_ino, std::memory_order_relaxed);
  bell.file.store(file, std::memory_order_release);
  return file;
}

// What the watch has to do with one card. Returns how long nothing need be done.
struct Look {
  uint64_t nap_ns;
  bool busy;
};

Look LookAfter(Card card, const region::PolicyPage& policy, CUcontext& current) {
  const AtDriver at_driver;
  const region::ComputeGrant& grant = policy.grants[card];
  const uint32_t word = grant.word.load(std::memory_order_acquire);
  const uint64_t now = NowNs();
  const bool closed = region::ModeOf(word) == region::GrantMode::kWait ||
                      (region::ModeOf(word) == region::GrantMode::kRun &&
                       now >= grant.until_ns.load(std::memory_order_relaxed));
  const bool open = region::ModeOf(word) == region::GrantMode::kOpen;
  Flight& flight = FlightOf(card);
  CUcontext wanted = nullptr;
  {
    const FlightHold hold(flight);
    wanted = flight.head == flight.tail ? nullptr : flight.bursts[flight.head % kBurstsMax].context;
  }
  if (wanted != nullptr && wanted != current && Cuda(Call::k_cuCtxSetCurrent, wanted) == 0) {
    current = wanted;
  }
  Settle(flight, now);
  SettleLanes(card, closed, now);
  bool empty = false;
  uint64_t left = 0;
  {
    const FlightHold hold(flight);
    empty = IsEmpty(flight);
    left = Left(flight, NowNs());
  }
  if (empty) {
    if (TellIfDone(flight, word) && !open) {
      Ring();
    }
    return CountWaiting(card) > 0 ? Look{kStandingNs, true} : Look{kIdleNs, false};
  }
  if (!closed) {
    return {open ? kOpenNs : kRunningNs, true};
  }
  const uint64_t half = left / 2;
  return {half < kClosedNsMin ? kClosedNsMin : half < kClosedNsMax ? half : kClosedNsMax, true};
}

// One look at all cards, and a sleep. Returns whether there was anything in flight.
bool LookRound(const region::PolicyPage& policy, CUcontext& current) {
  uint64_t nap = kIdleNs;
  bool busy = false;
  Card first = -1;
  uint32_t word = 0;
  for (Card card = 0; card < region::kDevicesMax; ++card) {
    if ((cards.load(std::memory_order_relaxed) >> card & 1) == 0) {
      continue;
    }
    const uint32_t before = policy.grants[card].word.load(std::memory_order_acquire);
    const Look look = LookAfter(card, policy, current);
    if (first < 0 || (look.busy && look.nap_ns < nap)) {
      first = card;
      word = before;
    }
    nap = look.nap_ns < nap || !busy ? look.nap_ns : nap;
    busy = busy || look.busy;
  }
  if (first >= 0) {
    AwaitChange(policy.grants[first].word, word, nap);
  }
  return busy;
}

void* Run(void*) {
  uint32_t begins = kBegins;
  if (!watcher.compare_exchange_strong(begins, kAwake)) {
    return nullptr;  // Whoever started this ended, and another was started.
  }
  beginner.store(0, std::memory_order_relaxed);
  prctl(PR_SET_NAME, "sluice-gate", 0, 0, 0);
  stop.thread.store(ThreadNumber(), std::memory_order_relaxed);
  {
    const AtDriver at_driver;
    int mode = 2;  // Relaxed: what it asks the driver disturbs no capture.
    Cuda(Call::k_cuThreadExchangeStreamCaptureMode, &mode);
  }
  CUcontext current = nullptr;
  uint64_t busy_ns = NowNs();
  while (true) {
    const Pages pages = AttachedPages();
    if (pages.policy != nullptr && LookRound(*pages.policy, current)) {
      busy_ns = NowNs();
    }
    if (NowNs() - busy_ns < kDozeAfterNs) {
      continue;
    }
    // Whoever submits from here on sees that we doze, or has been seen by the last look below.
    watcher.store(kDozes, std::memory_order_seq_cst);
    if (pages.policy == nullptr || !LookRound(*pages.policy, current)) {
      AwaitChange(watcher, kDozes, kDozeNs);
    }
    watcher.store(kAwake, std::memory_order_relaxed);
    busy_ns = NowNs();
  }
  return nullptr;
}

using CreateThread = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
using ChangeAttributes = int (*)(pthread_attr_t*);
using SetState = int (*)(pthread_attr_t*, int);
using SetBytes = int (*)(pthread_attr_t*, size_t);

// By address: the names' versions moved between libraries in glibc 2.34.
bool StartThread() {
  const auto create = reinterpret_cast<CreateThread>(FindInLibc("pthread_create"));
  const auto init = reinterpret_cast<ChangeAttributes>(FindInLibc("pthread_attr_init"));
  const auto destroy = reinterpret_cast<ChangeAttributes>(FindInLibc("pthread_attr_destroy"));
  const auto detach = reinterpret_cast<SetState>(FindInLibc("pthread_attr_setdetachstate"));
  const auto stack = reinterpret_cast<SetBytes>(FindInLibc("pthread_attr_setstacksize"));
  pthread_attr_t attributes;
  if (create == nullptr || init == nullptr || destroy == nullptr || detach == nullptr ||
      stack == nullptr || init(&attributes) != 0) {
    return false;
  }
  detach(&attributes, PTHREAD_CREATE_DETACHED);
  stack(&attributes, kStackBytes);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  pthread_t thread = {};
  const bool started = create(&thread, &attributes, Run, nullptr) == 0;
  sigprocmask(SIG_SETMASK, &before, nullptr);
  destroy(&attributes);
  return started;
}

// Requires: this thread is the beginner, until the watch itself says that it has begun.
void Begin() {
  uint32_t before = kNone;
  const bool none = watcher.compare_exchange_strong(before, kBegins) || before == kBegins;
  SLUICE_POINT("watch");
  if (none) {
    RegisterStop();
  }
  if (none && StartThread()) {
    return;
  }
  if (none) {
    failed_ns.store(NowNs(), std::memory_order_relaxed);
    before = kBegins;
    watcher.compare_exchange_strong(before, kNone);
  }
  beginner.store(0, std::memory_order_relaxed);
}

}  // namespace

void Watch(Card card) {
  if ((cards.load(std::memory_order_relaxed) >> card & 1) == 0) {
    cards.fetch_or(uint32_t{1} << card, std::memory_order_relaxed);
  }
  const uint32_t state = watcher.load(std::memory_order_seq_cst);
  if (state == kAwake) {
    return;
  }
  if (state == kDozes) {
    watcher.store(kAwake, std::memory_order_relaxed);
    WakeAll(watcher);
    return;
  }
  const uint64_t failed = failed_ns.load(std::memory_order_relaxed);
  const int kept = errno;
  uint32_t other = beginner.load(std::memory_order_relaxed);
  if ((failed == 0 || NowNs() - failed >= kAgainNs) && (other == 0 || !ThreadLives(other)) &&
      beginner.compare_exchange_strong(other, ThreadNumber())) {
    Begin();
  }
  errno = kept;
}

void Ring() {
  const int kept = errno;
  int file = bell.file.load(std::memory_order_acquire);
  if (!IsBell(file)) {
    file = OpenBell();
  }
  if (file >= 0) {
    WriteByte(file);
  }
  errno = kept;
}

void ForgetWatch() {
  watcher.store(kNone, std::memory_order_relaxed);
  beginner.store(0, std::memory_order_relaxed);
  failed_ns.store(0, std::memory_order_relaxed);
  cards.store(0, std::memory_order_relaxed);
  stop.pid.store(0, std::memory_order_relaxed);
  stop.thread.store(0, std::memory_order_relaxed);
  stop.told.store(false, std::memory_order_relaxed);
  stop.driving.store(false, std::memory_order_relaxed);
}

}  // namespace sluice::shim
