// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"
#include "net/internal/channel.h"
#include "net/internal/http_codec.h"
#include "net/server.h"

namespace sluice::net::internal {

class StreamBody;
class WebSocketSession;

// What a connection needs to know about where it came from.
struct Accepted {
  std::string remote;
  bool secure = false;
  std::optional<PeerProcess> peer;
};

// The server's end of one HTTP/1.1 connection. Requests are answered one after the other, in
// order; pipelined ones wait in the input. Lives on its channel's thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Channel> channel,
             std::shared_ptr<const ServerOptions> options,
             std::shared_ptr<const Handler> handler,
             Accepted accepted);

  // Starts with the TLS handshake, if any.
  void Start();

 private:
  friend class ConnectionResponder;
  friend class StreamBody;

  enum class State {
    kReading,     // Waiting for a request or in the middle of one.
    kHandling,    // The handler has it.
    kResponding,  // The answer is being written.
    kStreaming,
    kUpgraded,   // The channel belongs to a WebSocket.
    kLingering,  // Everything is said; waits a moment for the peer to have read it.
  };

  void OnData(std::string_view bytes);
  void OnEnd();
  void OnDrained();
  void OnDeadline();
  void Parse();
  void Dispatch(ParsedRequest parsed);
  void RefuseRequest(FeedOutcome outcome);
  void Refuse(const Response& response);
  void WriteResponse(const Response& response);
  void StartLinger();
  void AwaitRequest();
  Channel::Events MakeEvents();

  // From ConnectionResponder and StreamBody, on the channel's thread. A serial that is not the
  // current request's comes too late and is ignored.
  void Answer(uint64_t serial, const Response& response);
  void BeginStream(uint64_t serial, const Response& head, std::shared_ptr<StreamBody> stream);
  void Upgrade(uint64_t serial, const Headers& head, std::shared_ptr<WebSocketSession> session);
  void FinishStream();

  std::shared_ptr<Channel> channel_;
  std::shared_ptr<const ServerOptions> options_;
  std::shared_ptr<const Handler> handler_;
  Accepted accepted_;
  State state_ = State::kReading;
  std::string input_;
  std::unique_ptr<RequestParser> parser_;
  bool request_begun_ = false;
  bool peer_ended_ = false;
  size_t lingered_bytes_ = 0;
  // The request being handled.
  uint64_t serial_ = 0;
  bool keep_alive_ = true;
  bool http_1_0_ = false;
  bool head_request_ = false;
  std::shared_ptr<StreamBody> stream_;
};

}  // namespace sluice::net::internal
