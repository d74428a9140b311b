// SPDX-License-Identifier: Apache-2.0
#include "net/internal/io_thread.h"

#include <array>
#include <boost/asio/post.hpp>
#include <ctime>
#include <utility>

#include "net/internal/channel.h"

namespace sluice::net::internal {
namespace {

// Which loop this thread runs: how a call learns that it needs no hop.
thread_local IoThread* current = nullptr;  // NOLINT: per thread, set once.

}  // namespace

IoThread::IoThread(std::chrono::milliseconds sweep_every)
    : work_(context_.get_executor()), sweep_every_(sweep_every) {}

IoThread::~IoThread() {
  if (thread_.joinable()) thread_.detach();
}

void IoThread::Start() {
  Every(sweep_every_, [this] { Sweep(); });
  thread_ = std::thread([this] {
    current = this;
    context_.run();
    current = nullptr;
  });
}

void IoThread::Stop() {
  boost::asio::post(context_, [this] { StopOnThread(); });
  if (thread_.joinable()) thread_.join();
}

void IoThread::StopOnThread() {
  stopping_ = true;
  for (const auto& ticker : tickers_) ticker->timer.cancel();
  std::vector<std::shared_ptr<Channel>> all;
  for (Channel* channel : channels_) all.push_back(channel->shared_from_this());
  for (const auto& channel : all) channel->Stop();
  work_.reset();
}

void IoThread::Post(std::function<void()> work) {
  if (stopping_) return;
  boost::asio::post(context_, std::move(work));
}

IoThread* IoThread::Current() {
  return current;
}

void IoThread::Every(std::chrono::milliseconds every, std::function<void()> tick) {
  auto ticker =
      std::make_shared<Ticker>(Ticker{boost::asio::steady_timer(context_), every, std::move(tick)});
  boost::asio::post(context_, [this, ticker] {
    if (stopping_) return;
    tickers_.push_back(ticker);
    Arm(ticker);
  });
}

void IoThread::Arm(const std::shared_ptr<Ticker>& ticker) {
  ticker->timer.expires_after(ticker->every);
  ticker->timer.async_wait([this, ticker](const boost::system::error_code& error) {
    if (error || stopping_) return;
    ticker->tick();
    Arm(ticker);
  });
}

void IoThread::Sweep() {
  const int64_t now_ms = NowMs();
  std::vector<std::shared_ptr<Channel>> late;
  for (Channel* channel : channels_) {
    if (channel->IsLate(now_ms)) late.push_back(channel->shared_from_this());
  }
  for (const auto& channel : late) channel->HandleLate(now_ms);
}

std::string_view IoThread::Date() {
  const std::time_t now = std::time(nullptr);
  if (now != date_second_ || date_.empty()) {
    date_second_ = now;
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::array<char, 40> text{};
    const size_t length = std::strftime(text.data(), text.size(), "%a, %d %b %Y %T GMT", &parts);
    date_.assign(text.data(), length);
  }
  return date_;
}

int64_t IoThread::NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace sluice::net::internal
