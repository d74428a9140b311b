// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

namespace sluice::net::internal {

class Channel;

// One thread with one event loop. A connection lives on one IoThread for its whole life, so that
// nothing about it needs a lock. Timeouts are kept by one sweep over all channels instead of a
// timer for each: arming a timer twice per request costs more than the request.
class IoThread : public std::enable_shared_from_this<IoThread> {
 public:
  explicit IoThread(std::chrono::milliseconds sweep_every);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  void Start();
  // Stops every channel, lets the loop run dry and joins. Called once, from another thread, after
  // whatever accepts connections was closed.
  void Stop();

  // Thread-safe. Dropped after Stop().
  void Post(std::function<void()> work);
  bool OnThread() const { return Current() == this; }
  static IoThread* Current();
  void Every(std::chrono::milliseconds every, std::function<void()> tick);

  boost::asio::io_context& context() { return context_; }
  // On the thread only.
  void Add(Channel* channel) { channels_.insert(channel); }
  void Remove(Channel* channel) { channels_.erase(channel); }
  std::string_view Date();  // "Sun, 22 Nov 2026 18:00:00 GMT".
  static int64_t NowMs();   // Steady.

 private:
  struct Ticker {
    boost::asio::steady_timer timer;
    std::chrono::milliseconds every;
    std::function<void()> tick;
  };

  void Arm(const std::shared_ptr<Ticker>& ticker);
  void Sweep();
  void StopOnThread();

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::chrono::milliseconds sweep_every_;
  std::unordered_set<Channel*> channels_;
  std::vector<std::shared_ptr<Ticker>> tickers_;
  std::atomic<bool> stopping_{false};
  int64_t date_second_ = 0;
  std::string date_;
  std::thread thread_;
};

}  // namespace sluice::net::internal
