// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sluice::net::internal {

// A few threads for work that blocks. Thread-safe.
class BlockingPool {
 public:
  BlockingPool(int threads, size_t queue_max);
  ~BlockingPool();  // Finishes what runs, drops what waits.
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  // False: the queue is full.
  bool Run(std::function<void()> work);

 private:
  void Loop();

  const size_t queue_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace sluice::net::internal
