// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/bus_guard.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

namespace sluice::agent {
namespace {

struct Range {
  std::atomic<uintptr_t> from{0};  // 0: free.
  std::atomic<uintptr_t> to{0};
  std::atomic<bool> damaged{false};
};

// A signal handler can reach nothing but statics.
Range ranges[BusGuard::kGuardsMax];  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
struct sigaction former;             // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

void Handle(int signal, siginfo_t* info, void* context) {
  const int kept = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Range& range : ranges) {
    const uintptr_t from = range.from.load(std::memory_order_acquire);
    if (from == 0 || address < from || address >= range.to.load(std::memory_order_acquire)) {
      continue;
    }
    const auto page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    void* const page = reinterpret_cast<void*>(address & ~(page_bytes - 1));
    if (mmap(page,
             page_bytes,
             PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
             -1,
             0) != MAP_FAILED) {
      range.damaged.store(true, std::memory_order_release);
      errno = kept;
      return;
    }
  }
  // Not ours: as if there were no handler here.
  if ((former.sa_flags & SA_SIGINFO) != 0 && former.sa_sigaction != nullptr) {
    former.sa_sigaction(signal, info, context);
    return;
  }
  ::signal(signal, SIG_DFL);
  raise(signal);
}

void Install() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = Handle;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGBUS, &action, &former);
  });
}

}  // namespace

BusGuard::BusGuard(void* at, size_t bytes) {
  Install();
  const auto from = reinterpret_cast<uintptr_t>(at);
  for (int i = 0; i < kGuardsMax; ++i) {
    uintptr_t expected = 0;
    // `to` stays 0 until the range is whole, so the handler does not take it before.
    if (ranges[i].from.compare_exchange_strong(expected, from)) {
      ranges[i].damaged.store(false);
      ranges[i].to.store(from + bytes, std::memory_order_release);
      index_ = i;
      return;
    }
  }
}

BusGuard::~BusGuard() {
  if (index_ >= 0) {
    ranges[index_].to.store(0);
    ranges[index_].from.store(0);
  }
}

bool BusGuard::TakeDamage() {
  return index_ >= 0 && ranges[index_].damaged.exchange(false);
}

}  // namespace sluice::agent
