// SPDX-License-Identifier: Apache-2.0
#include "shim/internal/wait.h"

#include <climits>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace sluice::shim {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

// "PID (NAME) STATE …", where the name may hold anything.
bool FirstThreadEnded() {
  const int file = OpenFile("/proc/self/stat", O_RDONLY);
  if (file < 0) {
    return false;
  }
  char text[64] = {};
  const long got = syscall(SYS_read, file, text, sizeof(text));
  CloseFile(file);
  long at = got - 3;
  while (at >= 0 && text[at] != ')') {
    --at;
  }
  return at >= 0 && text[at + 1] == ' ' && (text[at + 2] == 'Z' || text[at + 2] == 'X');
}

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

bool ThreadLives(uint32_t number) {
  const int kept = errno;
  const int process = getpid();
  bool lives = syscall(SYS_tgkill, process, number, 0) == 0 || errno != ESRCH;
  // The first thread keeps its number until the process ends.
  if (lives && number == static_cast<uint32_t>(process)) {
    lives = !FirstThreadEnded();
  }
  errno = kept;
  return lives;
}

}  // namespace sluice::shim
