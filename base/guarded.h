// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>

namespace sluice {

// Data and its mutex in one object: the data cannot be reached without the lock.
//   Guarded<std::map<…>> users;
//   users.With([](auto& map) { map.erase(id); });
// Thread-safe.
template <typename T>
class Guarded {
 public:
  template <typename... Args>
  explicit Guarded(Args&&... args) : data_{std::forward<Args>(args)...} {}

  template <typename F>
  auto With(F&& f) {
    std::lock_guard lock(mutex_);
    return std::forward<F>(f)(data_);
  }
  template <typename F>
  auto With(F&& f) const {
    std::lock_guard lock(mutex_);
    return std::forward<F>(f)(data_);
  }

  // Changes the data, then wakes every waiter.
  template <typename F>
  auto Change(F&& f) {
    struct Wake {
      std::condition_variable& changed;
      ~Wake() { changed.notify_all(); }
    } wake{changed_};
    std::lock_guard lock(mutex_);
    return std::forward<F>(f)(data_);
  }

  // Waits until `ready(data)` or the deadline. Returns whether it became ready.
  template <typename Rep, typename Period, typename F>
  bool WaitFor(std::chrono::duration<Rep, Period> at_most, F&& ready) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, at_most, [&] { return ready(data_); });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  T data_;
};

}  // namespace sluice
