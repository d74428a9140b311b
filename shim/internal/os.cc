// SPDX-License-Identifier: Apache-2.0
#include "shim/internal/os.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace sluice::shim {

void Lock::Wait() {
  const int kept = errno;
  while (state_.exchange(2, std::memory_order_acquire) != 0) {
    syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, 2, nullptr, nullptr, 0);
  }
  errno = kept;
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
  nanosleep(&span, nullptr);
  errno = kept;
}

}  // namespace sluice::shim
