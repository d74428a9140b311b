// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/client.h"

// For tests and benchmarks: the browser's side of /v1/stream, without a browser.
namespace sluice::stream::testing {

// One thread at a time. Waits end after ten seconds.
class Viewer {
 public:
  // Upgrades and sends the ticket. Fails when there is no upgrade.
  static Result<std::unique_ptr<Viewer>> Open(const net::Endpoint& endpoint,
                                              const std::string& ticket,
                                              bool take_over = false,
                                              const std::string& protocol = "sluice.stream.v1");

  // The next text message; binary ones before it are kept for Read(). At the end "closed CODE …".
  std::string NextText();
  // So many bytes of RFB; texts before them are kept for NextText(). Fewer at the end.
  std::string Read(size_t bytes);
  // Whatever RFB comes next; empty at the end.
  std::string ReadSome();
  bool Send(const std::string& rfb);
  // Requires the message "ready" to have come. The viewer's half of the handshake; returns the
  // ServerInit without its name, or what came instead.
  std::string ShakeHands();
  std::string WaitClosed();

 private:
  explicit Viewer(std::unique_ptr<net::WebSocketClient> socket) : socket_(std::move(socket)) {}
  bool Receive();

  std::unique_ptr<net::WebSocketClient> socket_;
  std::string rfb_;
  std::deque<std::string> texts_;
  std::string closed_;
};

}  // namespace sluice::stream::testing
