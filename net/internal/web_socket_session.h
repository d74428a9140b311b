// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/http.h"
#include "net/internal/channel.h"
#include "net/internal/web_socket_codec.h"
#include "net/server.h"

namespace sluice::net::internal {

// The server's end of one WebSocket, over a channel that an HTTP connection gave up.
class WebSocketSession final : public WebSocket,
                               public std::enable_shared_from_this<WebSocketSession> {
 public:
  WebSocketSession(std::shared_ptr<Channel> channel,
                   std::shared_ptr<const ServerOptions> server,
                   const WebSocketOptions& options);

  void OnMessage(std::function<void(MessageType, std::string_view)> callback) override;
  void OnClose(std::function<void(CloseCode)> callback) override;
  void Start() override;
  void Send(MessageType type, std::string bytes) override;
  void Close(CloseCode code, std::string reason) override;
  size_t QueuedBytes() const override { return channel_->QueuedBytes(); }
  void OnDrained(std::function<void()> callback) override;
  void PauseReading(bool pause) override;

  // On the channel's thread: takes the channel over; `early` came behind the upgrade.
  void Attach(std::string early);
  // The upgrade could not happen.
  void Refused();

 private:
  enum class State { kOpen, kClosing, kClosed };

  void OnData(std::string_view bytes);
  void OnDeadline();
  bool OnEvent(const WebSocketDecoder::Event& event);
  void BeginClose(CloseCode code, const std::string& reason);
  void SendFrame(Opcode opcode, std::string_view payload);
  void Finish(CloseCode code);
  void Release();
  Channel::Events MakeEvents();

  const std::shared_ptr<Channel> channel_;
  const std::shared_ptr<const ServerOptions> server_;
  WebSocketDecoder decoder_;
  std::atomic<bool> accepts_{true};  // Send does something.
  State state_ = State::kOpen;
  CloseCode close_code_ = CloseCode::kNormal;
  bool peer_closed_ = false;
  bool broken_ = false;  // The peer broke the framing; its bytes are dropped.
  bool pause_wanted_ = false;
  bool started_ = false;
  bool calling_ = false;  // A callback is running: it may not be destroyed.
  int64_t heard_ms_ = 0;
  std::string early_;
  std::function<void(MessageType, std::string_view)> on_message_;
  std::function<void(CloseCode)> on_close_;
  std::function<void()> on_drained_;
};

}  // namespace sluice::net::internal
