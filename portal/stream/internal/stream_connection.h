// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"
#include "net/server.h"
#include "portal/stream/internal/rfb_client_parser.h"
#include "portal/stream/internal/rfb_server_parser.h"
#include "portal/stream/relay.h"

namespace sluice::stream::internal {

class StreamConnection;

// What a connection needs of the relay. Thread-safe.
class Registry {
 public:
  virtual ~Registry() = default;
  virtual const Hooks& hooks() const = 0;
  virtual const RelayOptions& options() const = 0;
  virtual const Clock& clock() const = 0;
  virtual net::Server* server() = 0;  // Null once the relay is gone.
  // Makes the connection one of its desktop's. Fails with kAlreadyExists (somebody has control and
  // `take_over` is false) or kResourceExhausted (too many viewers).
  virtual Result<void> Enter(const std::shared_ptr<StreamConnection>& connection,
                             bool take_over) = 0;
  // Whether it had entered or not.
  virtual void Leave(StreamConnection& connection, const StreamEnd& end) = 0;
};

// One WebSocket of /v1/stream and, once its ticket was good, one RFB connection to the display.
// Runs on the WebSocket's I/O thread; what is marked thread-safe may be called anywhere.
class StreamConnection : public std::enable_shared_from_this<StreamConnection> {
 public:
  StreamConnection(std::string id,
                   net::Request upgrade,
                   std::shared_ptr<net::WebSocket> socket,
                   std::shared_ptr<Registry> registry);

  // Begins to wait for the ticket.
  void Start();

  // Thread-safe.
  void Close(net::CloseCode code, const std::string& reason);
  void SendText(std::string text) { socket_->Send(net::MessageType::kText, std::move(text)); }
  const std::string& id() const { return id_; }
  Duration started_at() const { return started_at_; }
  bool entered() const { return entered_; }
  // By the registry, under its lock, so that nobody who looks for this connection misses it.
  void MarkEntered() { entered_ = true; }
  // Requires: entered().
  const TicketGrant& grant() const { return *grant_; }
  ConnectionInfo Info() const;
  TimePoint last_input_at() const { return TimePoint(Duration(last_input_ms_)); }

 private:
  void OnMessage(net::MessageType type, std::string_view bytes);
  void OnClosed(net::CloseCode code);
  void OnTicket(std::string_view text);
  void OnFromBrowser(std::string_view bytes);
  void OnFromDisplay(std::string_view bytes);
  void OnDisplayClosed();
  void Refuse(std::string_view code, const std::string& detail);
  void OpenDisplay(std::shared_ptr<net::ByteStream> display);
  void Violated(const Error& error);
  void NoteClipboardDrops();

  const std::string id_;
  const net::Request upgrade_;
  const std::shared_ptr<net::WebSocket> socket_;
  const std::shared_ptr<Registry> registry_;
  const TimePoint since_;
  const Duration started_at_;
  std::shared_ptr<net::ByteStream> display_;
  std::optional<TicketGrant> grant_;  // Written before entered_, never after.
  std::optional<RfbClientParser> from_browser_;
  std::optional<RfbServerParser> from_display_;
  bool ticket_seen_ = false;
  bool pixel_format_set_ = false;
  std::string to_display_;
  std::string to_browser_;
  std::string close_reason_;
  std::atomic<bool> entered_{false};
  std::atomic<bool> closing_{false};
  std::atomic<uint64_t> bytes_to_browser_{0};
  std::atomic<uint64_t> bytes_to_desktop_{0};
  std::atomic<int64_t> last_input_ms_{0};
};

}  // namespace sluice::stream::internal
