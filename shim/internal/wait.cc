// SPDX-License-Identifier: Apache-2.0
#include "shim/internal/wait.h"

#include <climits>
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace sluice::shim {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

constinit thread_local uint32_t own_number = 0;

}  // namespace

uint64_t NowNs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecondNs + static_cast<uint64_t>(now.tv_nsec);
}

void AwaitChange(const std::atomic<uint32_t>& word, uint32_t seen, uint64_t ns_max) {
  const int kept = errno;
  const timespec span = {static_cast<time_t>(ns_max / kSecondNs),
                         static_cast<long>(ns_max % kSecondNs)};
  syscall(SYS_futex, &word, FUTEX_WAIT, seen, &span, nullptr, 0);
  errno = kept;
}

void WakeAll(std::atomic<uint32_t>& word) {
  const int kept = errno;
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  errno = kept;
}

uint32_t ThreadNumber() {
  if (own_number == 0) {
    own_number = static_cast<uint32_t>(syscall(SYS_gettid));
  }
  return own_number;
}

void ForgetThreadNumber() {
  own_number = 0;
}

bool ThreadLives(uint32_t number) {
  const int kept = errno;
  const bool lives = syscall(SYS_tgkill, getpid(), number, 0) == 0 || errno != ESRCH;
  errno = kept;
  return lives;
}

}  // namespace sluice::shim
