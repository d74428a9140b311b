// SPDX-License-Identifier: Apache-2.0
#include "net/internal/web_socket_session.h"

#include <utility>

namespace sluice::net::internal {
namespace {

// How long the peer may take to answer a close frame.
constexpr std::chrono::milliseconds kCloseWait{2'000};
constexpr size_t kReadBytes = 64 * 1024;

}  // namespace

WebSocketSession::WebSocketSession(std::shared_ptr<Channel> channel,
                                   std::shared_ptr<const ServerOptions> server,
                                   const WebSocketOptions& options)
    : channel_(std::move(channel)),
      server_(std::move(server)),
      decoder_(WebSocketDecoder::Peer::kClient, options.message_bytes_max) {}

void WebSocketSession::OnMessage(std::function<void(MessageType, std::string_view)> callback) {
  on_message_ = std::move(callback);
}

void WebSocketSession::OnClose(std::function<void(CloseCode)> callback) {
  on_close_ = std::move(callback);
}

void WebSocketSession::OnDrained(std::function<void()> callback) {
  on_drained_ = std::move(callback);
}

Channel::Events WebSocketSession::MakeEvents() {
  const auto self = shared_from_this();
  Channel::Events events;
  events.data = [self](std::string_view bytes) { self->OnData(bytes); };
  events.end = [self] {
    self->Finish(self->state_ == State::kClosing ? self->close_code_ : CloseCode::kGoingAway);
  };
  events.drained = [self] {
    if (self->state_ == State::kClosing && self->peer_closed_) {
      return self->Finish(self->close_code_);
    }
    if (self->broken_) return self->channel_->ShutdownSend();
    if (self->started_ && self->on_drained_ && self->state_ == State::kOpen) {
      self->calling_ = true;
      self->on_drained_();
      self->calling_ = false;
      self->Release();
    }
  };
  events.deadline = [self] { self->OnDeadline(); };
  events.stop = [self] {
    if (self->state_ == State::kOpen) {
      self->SendFrame(Opcode::kClose, ClosePayload(CloseCode::kGoingAway, "the server stops"));
    }
    self->Finish(CloseCode::kGoingAway);
  };
  return events;
}

void WebSocketSession::Attach(std::string early) {
  early_ = std::move(early);
  channel_->PauseReading(true);
  channel_->GrowReadBuffer(kReadBytes);
  channel_->SetEvents(MakeEvents());
  channel_->SetDeadline(server_->ping_every);
  heard_ms_ = IoThread::NowMs();
}

void WebSocketSession::Refused() {
  Finish(CloseCode::kGoingAway);
}

void WebSocketSession::Start() {
  channel_->Run([self = shared_from_this()] {
    if (self->started_) return;
    self->started_ = true;
    if (self->state_ == State::kClosed) {
      // Closed before anybody could listen; the owner waits to hear of it.
      const auto on_close = std::exchange(self->on_close_, nullptr);
      if (on_close) on_close(CloseCode::kGoingAway);
      return self->Release();
    }
    if (!self->early_.empty()) self->OnData(std::exchange(self->early_, {}));
    if (self->state_ != State::kClosed) {
      self->channel_->PauseReading(self->pause_wanted_ && self->state_ == State::kOpen);
    }
  });
}

void WebSocketSession::Send(MessageType type, std::string bytes) {
  if (!accepts_) return;
  if (channel_->QueuedBytes() + bytes.size() > server_->stream_queue_bytes_max) {
    accepts_ = false;
    return channel_->Run([self = shared_from_this()] { self->Finish(CloseCode::kPolicy); });
  }
  SendFrame(type == MessageType::kText ? Opcode::kText : Opcode::kBinary, bytes);
}

void WebSocketSession::SendFrame(Opcode opcode, std::string_view payload) {
  std::string frame;
  frame.reserve(payload.size() + 10);
  AppendFrame(frame, opcode, payload);
  channel_->Send(std::move(frame));
}

void WebSocketSession::Close(CloseCode code, std::string reason) {
  accepts_ = false;
  channel_->Run([self = shared_from_this(), code, reason = std::move(reason)] {
    self->BeginClose(code, reason);
  });
}

void WebSocketSession::BeginClose(CloseCode code, const std::string& reason) {
  if (state_ != State::kOpen) return;
  accepts_ = false;
  state_ = State::kClosing;
  close_code_ = code;
  SendFrame(Opcode::kClose, ClosePayload(code, reason));
  channel_->SetDeadline(kCloseWait);
  channel_->PauseReading(false);
}

void WebSocketSession::PauseReading(bool pause) {
  channel_->Run([self = shared_from_this(), pause] {
    if (self->pause_wanted_ == pause) return;
    self->pause_wanted_ = pause;
    self->heard_ms_ = IoThread::NowMs();
    if (self->started_ && self->state_ == State::kOpen) self->channel_->PauseReading(pause);
  });
}

void WebSocketSession::OnData(std::string_view bytes) {
  heard_ms_ = IoThread::NowMs();
  if (state_ == State::kClosed || broken_) return;
  const auto violation =
      decoder_.Feed(bytes, [this](const WebSocketDecoder::Event& event) { return OnEvent(event); });
  if (violation && state_ == State::kOpen) {
    // What follows makes no sense, but is read and dropped for a moment: closing with unread bytes
    // would reset the connection and with it the close frame that says why.
    broken_ = true;
    BeginClose(violation->code, violation->reason);
  } else if (violation) {
    Finish(close_code_);
  }
}

bool WebSocketSession::OnEvent(const WebSocketDecoder::Event& event) {
  switch (event.kind) {
    case Opcode::kPing:
      // A flood of pings from a peer that does not read ends at the queue's bound.
      if (state_ == State::kOpen && channel_->QueuedBytes() < server_->stream_queue_bytes_max) {
        SendFrame(Opcode::kPong, event.bytes);
      }
      return true;
    case Opcode::kPong:
    case Opcode::kContinuation:
      return true;
    case Opcode::kClose:
      peer_closed_ = true;
      if (state_ == State::kOpen) {
        BeginClose(event.code, "");
      } else if (channel_->QueuedBytes() == 0) {
        Finish(close_code_);
      }
      return false;
    case Opcode::kText:
    case Opcode::kBinary:
      break;
  }
  if (state_ != State::kOpen) return state_ == State::kClosing;
  if (on_message_) {
    calling_ = true;
    on_message_(event.kind == Opcode::kText ? MessageType::kText : MessageType::kBinary,
                event.bytes);
    calling_ = false;
    Release();
  }
  return state_ != State::kClosed;
}

void WebSocketSession::OnDeadline() {
  if (state_ != State::kOpen) return Finish(close_code_);
  const int64_t silent_ms = IoThread::NowMs() - heard_ms_;
  const bool listening = started_ && !pause_wanted_;
  if (listening && silent_ms > 2 * server_->ping_every.count()) {
    return Finish(CloseCode::kGoingAway);
  }
  if (!started_ && silent_ms > 2 * server_->ping_every.count()) {
    return Finish(CloseCode::kInternal);
  }
  if (listening) SendFrame(Opcode::kPing, {});
  channel_->SetDeadline(server_->ping_every);
}

void WebSocketSession::Finish(CloseCode code) {
  if (state_ == State::kClosed) return;
  const auto self = shared_from_this();
  state_ = State::kClosed;
  accepts_ = false;
  channel_->Close();
  // Until Start() the callbacks are still the owner's to set, maybe on another thread.
  if (started_ && on_close_) {
    const bool outer = std::exchange(calling_, true);
    on_close_(code);
    calling_ = outer;
  }
  Release();
}

void WebSocketSession::Release() {
  if (calling_ || !started_ || state_ != State::kClosed) return;
  // The callbacks usually hold whoever holds this object.
  on_message_ = nullptr;
  on_close_ = nullptr;
  on_drained_ = nullptr;
}

}  // namespace sluice::net::internal
