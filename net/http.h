// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// HTTP as the rest of Sluice sees it: plain structs, no library types.
namespace sluice::net {

// Header fields in order; names are compared without case.
class Headers {
 public:
  void Add(std::string name, std::string value);
  void Set(std::string_view name, std::string value);
  // The first field of that name, or empty.
  std::string_view Get(std::string_view name) const;
  bool Has(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

// The process at the other end of a unix socket, by SO_PEERCRED.
struct PeerProcess {
  int64_t pid = 0;
  uint32_t uid = 0;
};

struct Request {
  std::string method;  // "GET".
  std::string target;  // As sent: "/v1/desktops?limit=5".
  std::string path;    // Percent-decoded, "..", "//" and NUL refused before a handler sees it.
  std::vector<std::pair<std::string, std::string>> query;  // Decoded, in order.
  Headers headers;
  std::string body;
  std::string remote;               // "203.0.113.9", or "unix".
  bool secure = false;              // TLS on this connection.
  std::optional<PeerProcess> peer;  // Unix socket only.

  std::string_view Query(std::string_view name) const;  // First of that name, or empty.
  std::string_view Cookie(std::string_view name) const;
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  std::shared_ptr<const std::string> shared_body;  // Instead of `body`: static files, caches.
};

// A body that is sent piece by piece (server-sent events). Thread-safe.
class ResponseStream {
 public:
  virtual ~ResponseStream() = default;

  // Queues one piece. False: the peer is gone or so slow that its queue is full; the stream is
  // then closed and nothing more is sent.
  virtual bool Write(std::shared_ptr<const std::string> piece) = 0;
  virtual void Close() = 0;
  virtual bool closed() const = 0;
  // Called once, on an I/O thread, when the peer goes away or Close() is done.
  virtual void OnClose(std::function<void()> callback) = 0;
};

enum class MessageType { kText, kBinary };

// RFC 6455 close codes that Sluice sends.
enum class CloseCode : uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,
  kProtocolError = 1002,
  kPolicy = 1008,
  kTooBig = 1009,
  kInternal = 1011,
  // Private range, understood by the web client.
  kTakenOver = 4001,  // The desktop was opened in another tab.
  kDesktopStopped = 4002,
  kSignedOut = 4003,
  kKicked = 4004,
};

// One accepted WebSocket. Send and Close are thread-safe; callbacks come one at a time, on an I/O
// thread, and must not block.
class WebSocket {
 public:
  virtual ~WebSocket() = default;

  virtual void OnMessage(std::function<void(MessageType, std::string_view)> callback) = 0;
  virtual void OnClose(std::function<void(CloseCode)> callback) = 0;
  // Starts reading. Callbacks must be set before.
  virtual void Start() = 0;
  virtual void Send(MessageType type, std::string bytes) = 0;
  virtual void Close(CloseCode code, std::string reason) = 0;
  // Bytes accepted by Send and not yet written to the peer: the back pressure that a relay obeys.
  virtual size_t QueuedBytes() const = 0;
  // Called each time QueuedBytes() falls to zero.
  virtual void OnDrained(std::function<void()> callback) = 0;
  // Stops and resumes reading from the peer.
  virtual void PauseReading(bool pause) = 0;
};

struct WebSocketOptions {
  size_t message_bytes_max = 1 << 20;  // A larger message closes with kTooBig.
  std::string protocol;                // Echoed Sec-WebSocket-Protocol; empty: none.
};

// How a handler answers. Exactly one of the three is called, from any thread, now or later.
// Dropping the last copy unanswered sends 500.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void Send(Response response) = 0;
  virtual std::shared_ptr<ResponseStream> Stream(Response head) = 0;
  // Null when the request is no WebSocket upgrade; 426 or 400 was sent then. Messages wait until
  // WebSocket::Start().
  virtual std::shared_ptr<WebSocket> AcceptWebSocket(const WebSocketOptions& options) = 0;
};

// Called on an I/O thread; must not block for long (store reads are memory reads; password hashing
// goes to Server::RunBlocking).
using Handler = std::function<void(Request, std::shared_ptr<Responder>)>;

}  // namespace sluice::net
