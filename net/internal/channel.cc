// SPDX-License-Identifier: Apache-2.0
#include "net/internal/channel.h"

#include <algorithm>
#include <array>
#include <utility>

namespace sluice::net::internal {
namespace {

constexpr size_t kWritePiecesMax = 16;
// Small pieces are joined up to this, which saves system calls and TLS records.
constexpr size_t kJoinBytesMax = 16 * 1024;

}  // namespace

std::shared_ptr<Channel> Channel::Create(std::shared_ptr<IoThread> io,
                                         std::unique_ptr<Transport> transport,
                                         Options options) {
  std::shared_ptr<Channel> channel(
      new Channel(std::move(io), std::move(transport), std::move(options)));
  channel->Run([channel] {
    if (!channel->closed_) channel->io_->Add(channel.get());
  });
  return channel;
}

Channel::Channel(std::shared_ptr<IoThread> io,
                 std::unique_ptr<Transport> transport,
                 Options options)
    : io_(std::move(io)),
      transport_(std::move(transport)),
      options_(std::move(options)),
      events_(std::make_shared<Events>()),
      read_buffer_(options_.read_bytes),
      read_buffer_wanted_(options_.read_bytes) {}

Channel::~Channel() = default;

void Channel::SetEvents(Events events) {
  if (!closed_) events_ = std::make_shared<Events>(std::move(events));
}

void Channel::Handshake(std::function<void(bool ok)> done) {
  transport_->Handshake([self = shared_from_this(), done = std::move(done)](
                            const boost::system::error_code& error, size_t) {
    if (!self->closed_) done(!error);
  });
}

void Channel::StartReading() {
  started_ = true;
  ReadNext();
}

void Channel::PauseReading(bool pause) {
  paused_ = pause;
  ReadNext();
}

void Channel::GrowReadBuffer(size_t bytes) {
  read_buffer_wanted_ = std::max(bytes, read_buffer_.size());
}

void Channel::SetDeadline(std::chrono::milliseconds from_now) {
  deadline_ms_ = IoThread::NowMs() + from_now.count();
}

void Channel::Close() {
  if (closed_.exchange(true)) return;
  io_->Remove(this);
  transport_->Close();
  // The queue stays as it is: a cancelled write may still look at it until its callback came.
  // The callbacks hold the owner, who may be running one of them right now.
  io_->Post([events = std::exchange(events_, std::make_shared<Events>())] {});
  options_.admission.reset();
}

void Channel::Stop() {
  if (closed_) return;
  const auto events = events_;
  if (events->stop) events->stop();
  Close();
}

void Channel::Send(std::string bytes) {
  if (bytes.empty()) return;
  queued_bytes_ += bytes.size();
  if (io_->OnThread()) return Enqueue(Piece{std::move(bytes), nullptr});
  Run([this, bytes = std::move(bytes)]() mutable { Enqueue(Piece{std::move(bytes), nullptr}); });
}

void Channel::Send(std::shared_ptr<const std::string> bytes) {
  if (bytes->empty()) return;
  queued_bytes_ += bytes->size();
  if (io_->OnThread()) return Enqueue(Piece{{}, std::move(bytes)});
  Run([this, bytes = std::move(bytes)]() mutable { Enqueue(Piece{{}, std::move(bytes)}); });
}

void Channel::Run(std::function<void()> work) {
  if (io_->OnThread()) return work();
  io_->Post([self = shared_from_this(), work = std::move(work)] { work(); });
}

bool Channel::IsLate(int64_t now_ms) const {
  if (deadline_ms_ != 0 && now_ms >= deadline_ms_) return true;
  return in_flight_ > 0 && now_ms - write_started_ms_ > options_.write_stall_max.count();
}

void Channel::HandleLate(int64_t now_ms) {
  if (closed_ || !IsLate(now_ms)) return;
  if (deadline_ms_ != 0 && now_ms >= deadline_ms_) {
    deadline_ms_ = 0;
    const auto events = events_;
    if (events->deadline) return events->deadline();
  }
  Fail();
}

void Channel::ReadNext() {
  if (!started_ || reading_ || paused_ || ended_ || closed_) return;
  if (read_buffer_.size() < read_buffer_wanted_) read_buffer_.resize(read_buffer_wanted_);
  reading_ = true;
  transport_->ReadSome(read_buffer_,
                       [self = shared_from_this()](const boost::system::error_code& error,
                                                   size_t bytes) { self->OnRead(error, bytes); });
}

void Channel::OnRead(const boost::system::error_code& error, size_t bytes) {
  reading_ = false;
  if (closed_) return;
  const auto events = events_;
  if (error) {
    ended_ = true;
    if (events->end) events->end();
    return;
  }
  if (events->data) events->data(std::string_view(read_buffer_.data(), bytes));
  ReadNext();
}

void Channel::Enqueue(Piece piece) {
  if (closed_) return;
  const size_t bytes = piece.view().size();
  if (outbox_.size() > in_flight_ && !outbox_.back().shared &&
      outbox_.back().own.size() + bytes <= kJoinBytesMax) {
    outbox_.back().own.append(piece.view());
  } else {
    outbox_.push_back(std::move(piece));
  }
  Flush();
}

void Channel::Flush() {
  if (in_flight_ > 0 || outbox_.empty() || closed_) return;
  std::array<std::string_view, kWritePiecesMax> pieces;
  const size_t count = std::min(outbox_.size(), pieces.size());
  for (size_t i = 0; i < count; ++i) pieces[i] = outbox_[i].view();
  pieces[0].remove_prefix(outbox_offset_);
  in_flight_ = count;
  write_started_ms_ = IoThread::NowMs();
  transport_->WriteSome(
      std::span(pieces.data(), count),
      [self = shared_from_this()](const boost::system::error_code& error, size_t bytes) {
        self->OnWritten(error, bytes);
      });
}

void Channel::OnWritten(const boost::system::error_code& error, size_t bytes) {
  in_flight_ = 0;
  if (closed_) return outbox_.clear();
  if (error) return Fail();
  queued_bytes_ -= bytes;
  outbox_offset_ += bytes;
  while (!outbox_.empty() && outbox_offset_ >= outbox_.front().view().size()) {
    outbox_offset_ -= outbox_.front().view().size();
    outbox_.pop_front();
  }
  if (!outbox_.empty()) return Flush();
  const auto events = events_;
  if (events->drained) events->drained();
}

void Channel::Fail() {
  if (closed_) return;
  ended_ = true;
  const auto events = events_;
  if (events->end) events->end();
  // A failed connection is of no use to its owner, whatever the owner thinks.
  Close();
}

}  // namespace sluice::net::internal
