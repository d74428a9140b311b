// SPDX-License-Identifier: Apache-2.0
#include "net/internal/stream_body.h"

#include <fmt/core.h>
#include <utility>

namespace sluice::net::internal {
namespace {

// Below this a piece is copied between its chunk marks: cheaper than three buffers.
constexpr size_t kCopyBytesMax = 4096;

}  // namespace

StreamBody::StreamBody(std::shared_ptr<Channel> channel,
                       std::weak_ptr<Connection> connection,
                       size_t queue_bytes_max)
    : channel_(std::move(channel)),
      connection_(std::move(connection)),
      queue_bytes_max_(queue_bytes_max) {}

bool StreamBody::Write(std::shared_ptr<const std::string> piece) {
  if (closed_ || channel_->closed()) return false;
  const size_t bytes = piece->size();
  if (bytes == 0) return true;
  if (channel_->QueuedBytes() + posted_bytes_ + bytes > queue_bytes_max_) {
    closed_ = true;
    channel_->Run([self = shared_from_this()] {
      self->channel_->Close();
      self->Gone();
    });
    return false;
  }
  posted_bytes_ += bytes;
  channel_->Run([self = shared_from_this(), piece = std::move(piece)] {
    self->posted_bytes_ -= piece->size();
    self->WriteOnThread(piece);
  });
  return true;
}

void StreamBody::WriteOnThread(const std::shared_ptr<const std::string>& piece) {
  if (channel_->closed()) return;
  if (!begun_) return early_.push_back(piece);
  if (!chunked_) return channel_->Send(piece);
  std::string mark = fmt::format("{:x}\r\n", piece->size());
  if (piece->size() <= kCopyBytesMax) {
    mark.append(*piece).append("\r\n");
    return channel_->Send(std::move(mark));
  }
  channel_->Send(std::move(mark));
  channel_->Send(piece);
  channel_->Send(std::string("\r\n"));
}

void StreamBody::Close() {
  if (closed_.exchange(true)) return;
  channel_->Run([self = shared_from_this()] {
    self->end_wanted_ = true;
    if (self->begun_ || self->channel_->closed()) self->End();
  });
}

void StreamBody::End() {
  if (begun_ && chunked_) channel_->Send(std::string("0\r\n\r\n"));
  const auto connection = connection_.lock();
  if (begun_ && connection != nullptr) connection->FinishStream();
  Gone();
}

void StreamBody::OnClose(std::function<void()> callback) {
  const bool gone = closing_.With([&](Closing& closing) {
    if (!closing.gone) closing.callback = std::move(callback);
    return closing.gone;
  });
  if (gone && callback) channel_->Run(std::move(callback));
}

void StreamBody::Begin(bool chunked) {
  begun_ = true;
  chunked_ = chunked;
  for (const auto& piece : std::exchange(early_, {})) WriteOnThread(piece);
  if (end_wanted_) End();
}

void StreamBody::Gone() {
  closed_ = true;
  early_.clear();
  auto callback = closing_.With([](Closing& closing) {
    closing.gone = true;
    return std::exchange(closing.callback, nullptr);
  });
  if (callback) callback();
}

}  // namespace sluice::net::internal
