// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/http.h"

namespace sluice::net {

// Where a server is: "http://127.0.0.1:8443", "https://host:port" or "unix:/run/sluice/api.sock".
struct Endpoint {
  std::string url;
  std::string ca_pem;              // Path of an additional trusted certificate; empty: system's.
  std::string fingerprint_sha256;  // "AA:BB:…": trust exactly this certificate; empty: by CA.
};

// A blocking HTTP/1.1 client for the command line, benchmarks and tests. One thread at a time.
class Client {
 public:
  static Result<std::unique_ptr<Client>> Create(const Endpoint& endpoint);
  virtual ~Client() = default;

  // Sends one request (method, target, headers, body are read) and waits. Reconnects once if a
  // kept-alive connection was closed. Fails with kUnavailable (cannot connect; the message says
  // what to do) or kDeadlineExceeded.
  virtual Result<Response> Send(const Request& request, std::chrono::milliseconds at_most) = 0;

  // Sends a GET and hands each piece of the body to `piece` until that returns false or the server
  // ends the stream. For server-sent events.
  virtual Result<void> Stream(const Request& request,
                              const std::function<bool(std::string_view)>& piece) = 0;
};

// A blocking WebSocket client, for benchmarks, tests and tools. One thread at a time.
class WebSocketClient {
 public:
  static Result<std::unique_ptr<WebSocketClient>> Connect(const Endpoint& endpoint,
                                                          const std::string& target,
                                                          const Headers& headers);
  virtual ~WebSocketClient() = default;
  virtual Result<void> Send(MessageType type, std::string_view bytes) = 0;

  struct Message {
    MessageType type = MessageType::kBinary;
    std::string bytes;
  };
  // Fails with kDeadlineExceeded, or kUnavailable with "closed CODE reason".
  virtual Result<Message> Receive(std::chrono::milliseconds at_most) = 0;
  virtual void Close() = 0;
};

}  // namespace sluice::net
