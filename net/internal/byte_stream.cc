// SPDX-License-Identifier: Apache-2.0
#include "net/internal/byte_stream.h"

#include <utility>

namespace sluice::net::internal {

void ChannelByteStream::OnData(std::function<void(std::string_view)> callback) {
  on_data_ = std::move(callback);
}

void ChannelByteStream::OnClose(std::function<void()> callback) {
  on_close_ = std::move(callback);
}

void ChannelByteStream::OnDrained(std::function<void()> callback) {
  on_drained_ = std::move(callback);
}

void ChannelByteStream::Start() {
  channel_->Run([self = shared_from_this()] {
    if (self->finished_) return;
    Channel::Events events;
    events.data = [self](std::string_view bytes) {
      ++self->calling_;
      if (self->on_data_) self->on_data_(bytes);
      --self->calling_;
      self->Release();
    };
    events.drained = [self] {
      ++self->calling_;
      if (self->on_drained_) self->on_drained_();
      --self->calling_;
      self->Release();
    };
    events.end = [self] { self->Finish(); };
    events.deadline = events.end;
    events.stop = events.end;
    self->channel_->SetEvents(std::move(events));
    self->channel_->StartReading();
  });
}

void ChannelByteStream::PauseReading(bool pause) {
  channel_->Run([self = shared_from_this(), pause] {
    if (!self->finished_) self->channel_->PauseReading(pause);
  });
}

void ChannelByteStream::Close() {
  channel_->Run([self = shared_from_this()] { self->Finish(); });
}

void ChannelByteStream::Finish() {
  if (finished_) return;
  const auto self = shared_from_this();
  finished_ = true;
  channel_->Close();
  ++calling_;
  if (on_close_) on_close_();
  --calling_;
  Release();
}

void ChannelByteStream::Release() {
  if (calling_ > 0 || !finished_) return;
  on_data_ = nullptr;
  on_close_ = nullptr;
  on_drained_ = nullptr;
}

}  // namespace sluice::net::internal
