// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/internal/channel.h"
#include "net/server.h"

namespace sluice::net::internal {

// A ByteStream over a channel of its own.
class ChannelByteStream final : public ByteStream,
                                public std::enable_shared_from_this<ChannelByteStream> {
 public:
  explicit ChannelByteStream(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}

  void OnData(std::function<void(std::string_view)> callback) override;
  void OnClose(std::function<void()> callback) override;
  void OnDrained(std::function<void()> callback) override;
  void Start() override;
  void Send(std::string bytes) override { channel_->Send(std::move(bytes)); }
  size_t QueuedBytes() const override { return channel_->QueuedBytes(); }
  void PauseReading(bool pause) override;
  void Close() override;

 private:
  void Finish();
  void Release();

  const std::shared_ptr<Channel> channel_;
  bool finished_ = false;
  int calling_ = 0;  // Callbacks that are running: they may not be destroyed.
  std::function<void(std::string_view)> on_data_;
  std::function<void()> on_close_;
  std::function<void()> on_drained_;
};

}  // namespace sluice::net::internal
