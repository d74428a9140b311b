// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

// What the interposer needs of the system, without a C++ run-time and without any symbol younger
// than glibc 2.17. Nothing here changes the host process or speaks in its name: no signal handlers,
// no umask, no exit, no line of output.
namespace sluice::shim {

// A lock of this process's threads, on a futex. Never held while calling the driver. Constant
// initialisation; may be Reset in a forked child, where its holder does not exist.
class Lock {
 public:
  void Acquire() {
    uint32_t expected = 0;
    if (!state_.compare_exchange_strong(expected, 1, std::memory_order_acquire)) {
      Wait();
    }
  }
  void Release() {
    if (state_.exchange(0, std::memory_order_release) == 2) {
      Wake();
    }
  }
  void Reset() { state_.store(0, std::memory_order_relaxed); }

 private:
  void Wait();
  void Wake();

  std::atomic<uint32_t> state_{0};  // 0 free, 1 held, 2 held and somebody waits.
};

class Hold {
 public:
  explicit Hold(Lock& lock) : lock_(lock) { lock_.Acquire(); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold() { lock_.Release(); }

 private:
  Lock& lock_;
};

// Zeroed memory from the kernel, or nullptr. The host may have replaced malloc, so it is not used.
void* TakePages(size_t bytes);
void GivePages(void* pages, size_t bytes);

// Lets other threads run for so long.
void Nap(uint32_t microseconds);

}  // namespace sluice::shim
