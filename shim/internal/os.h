// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

// What the interposer needs of the system, without a C++ run-time and without any symbol younger
// than glibc 2.17. Nothing here changes the host process or speaks in its name: no signal handlers,
// no umask, no exit, no line of output.
namespace sluice::shim {

// The calling thread's mark, as a lock's word names its holder: its number, and above that a tag
// that tells it from a thread which had the number before.
inline constexpr uint32_t kMarkNumber = (uint32_t{1} << 22) - 1;  // No kernel gives higher ones.
extern constinit thread_local uint32_t own_mark;
uint32_t MakeOwnMark();
void ForgetMarks();  // In a forked child.
inline uint32_t OwnMark() {
  return own_mark != 0 ? own_mark : MakeOwnMark();
}

// A lock of this process's threads, on a futex. Never held while calling the driver. Constant
// initialisation; may be Reset in a forked child, where its holder does not exist.
//
// A thread may end while it holds the lock, in a signal handler that never returns: whoever waits
// sees that within kLookAgainNs and takes the lock over. Not seen is the end of one whose number a
// thread that never came here has been given since. In a copy of the process of which no handler of
// ours was told, nothing is known of the holder and nothing taken over.
class Lock {
 public:
  // True: from a thread that ended in the middle. What the lock guards is the caller's to mend.
  bool Acquire() {
    const uint32_t me = OwnMark();
    uint32_t expected = 0;
    return !state_.compare_exchange_strong(expected, me, std::memory_order_acquire) && Wait(me);
  }
  void Release() {
    if ((state_.exchange(0, std::memory_order_release) & kAwaited) != 0) {
      Wake();
    }
  }
  void Reset() { state_.store(0, std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kAwaited = uint32_t{1} << 31;
  static constexpr uint64_t kLookAgainNs = 10'000'000;

  bool Wait(uint32_t me);
  void Wake();

  std::atomic<uint32_t> state_{
      0};  // The holder's mark, with kAwaited when somebody waits; 0: free.
};

class Hold {
 public:
  explicit Hold(Lock& lock) : lock_(lock), inherited_(lock.Acquire()) {}
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold() { lock_.Release(); }

 protected:
  // See Acquire.
  bool Inherited() const { return inherited_; }

 private:
  Lock& lock_;
  const bool inherited_;
};

// What is written above it is written before what follows, for whoever takes over a lock.
inline void KeepOrder() {
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

// Zeroed memory from the kernel, or nullptr. The host may have replaced malloc, so it is not used.
void* TakePages(size_t bytes);
void GivePages(void* pages, size_t bytes);

// Lets other threads run for so long.
void Nap(uint32_t microseconds);

// As open, with O_CLOEXEC; close; write. A program that ends its threads by pthread_cancel finds no
// cancellation point in them, nor in anything else here: the driver's calls are none.
int OpenFile(const char* path, int flags);
void CloseFile(int file);
void WriteByte(int file);

}  // namespace sluice::shim
