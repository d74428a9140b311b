// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sluice::control {

// A few threads for calls that may block. Thread-safe. Destruction waits for what has begun and
// drops what has not: every job may be repeated by the next process.
class Workers {
 public:
  // With no threads a job is done at once, by the caller: for tests and the simulator.
  explicit Workers(int threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // False: so much waits already that the caller should ask again later.
  bool Do(std::function<void()> job);

 private:
  void Work();

  std::mutex mutex_;  // Guards the two below.
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;
  std::condition_variable changed_;
  std::vector<std::jthread> threads_;
};

}  // namespace sluice::control
