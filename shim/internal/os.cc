// SPDX-License-Identifier: Apache-2.0
#include "shim/internal/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/internal/wait.h"

namespace sluice::shim {

namespace {

// Marks that were made last, by number: whether a thread that lives is the one that is meant.
constexpr uint32_t kNewest = 256;
constinit std::atomic<uint32_t> newest[kNewest] = {};
constinit std::atomic<uint32_t> marks_made{0};
constinit std::atomic<int> process_of_marks{0};

bool HasEnded(uint32_t holder) {
  if (process_of_marks.load(std::memory_order_relaxed) != getpid()) {
    return false;
  }
  const uint32_t number = holder & kMarkNumber;
  const uint32_t last = newest[number % kNewest].load(std::memory_order_relaxed);
  return ((last & kMarkNumber) == number && last != holder) || !ThreadLives(number);
}

}  // namespace

constinit thread_local uint32_t own_mark = 0;

uint32_t MakeOwnMark() {
  const int kept = errno;
  if (process_of_marks.load(std::memory_order_relaxed) == 0) {
    process_of_marks.store(getpid(), std::memory_order_relaxed);
  }
  const auto number = static_cast<uint32_t>(syscall(SYS_gettid)) & kMarkNumber;
  const uint32_t tag = marks_made.fetch_add(1, std::memory_order_relaxed) & 0x1ff;
  own_mark = tag << 22 | number;
  newest[number % kNewest].store(own_mark, std::memory_order_relaxed);
  errno = kept;
  return own_mark;
}

void ForgetMarks() {
  own_mark = 0;
  process_of_marks.store(0, std::memory_order_relaxed);
}

bool Lock::Wait(uint32_t me) {
  const int kept = errno;
  bool inherited = false;
  for (uint32_t seen = state_.load(std::memory_order_relaxed);;) {
    // From here on it is awaited, by us or by those who came before us.
    if (seen == 0) {
      if (state_.compare_exchange_weak(seen, me | kAwaited, std::memory_order_acquire)) {
        break;
      }
      continue;
    }
    const uint32_t awaited = seen | kAwaited;
    if (seen != awaited && !state_.compare_exchange_weak(seen, awaited)) {
      continue;
    }
    const timespec span = {0, static_cast<long>(kLookAgainNs)};
    const long result = syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, awaited, &span, nullptr, 0);
    seen = awaited;
    if (result != 0 && errno == ETIMEDOUT && HasEnded(awaited & ~kAwaited) &&
        state_.compare_exchange_strong(seen, me | kAwaited, std::memory_order_acquire)) {
      inherited = true;
      break;
    }
    seen = state_.load(std::memory_order_relaxed);
  }
  errno = kept;
  return inherited;
}

void Lock::Wake() {
  const int kept = errno;
  syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  errno = kept;
}

void* TakePages(size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}

void GivePages(void* pages, size_t bytes) {
  munmap(pages, bytes);
}

void Nap(uint32_t microseconds) {
  const int kept = errno;
  const timespec span = {0, static_cast<long>(microseconds) * 1000};
  syscall(SYS_nanosleep, &span, nullptr);
  errno = kept;
}

int OpenFile(const char* path, int flags) {
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0));
}

void CloseFile(int file) {
  syscall(SYS_close, file);
}

void WriteByte(int file) {
  syscall(SYS_write, file, "", size_t{1});
}

}  // namespace sluice::shim
