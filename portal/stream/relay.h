// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "net/http.h"
#include "net/server.h"

// The way from a browser's WebSocket to a desktop's display: RFB, checked in both directions.
namespace sluice::stream {

enum class Mode { kControl, kView };

inline constexpr std::string_view kSubprotocol = "sluice.stream.v1";

// What a ticket stands for.
struct TicketGrant {
  UserId user;
  std::string user_name;
  std::string session;  // Id of the sign-in or token; what Revoke() names.
  DesktopId desktop;
  Mode mode = Mode::kView;
  bool foreign = false;  // The desktop is somebody else's: its user sees a banner.
};

// Who looks at a desktop, after each change, and at most once a second while there is input.
struct ViewerReport {
  DesktopId desktop;
  int viewers = 0;                         // Connections, of both modes.
  std::vector<std::string> foreign_users;  // Names of those who look at somebody else's desktop.
  TimePoint last_input_at;                 // Zero: none yet.
};

// One connection that is over, for the audit log.
struct StreamEnd {
  TicketGrant grant;
  uint64_t bytes_to_browser = 0;
  uint64_t bytes_to_desktop = 0;
  TimePoint since;
  net::CloseCode code = net::CloseCode::kNormal;
  std::string reason;
};

// What the relay asks and tells. Called on I/O threads; must not block; may call the relay.
struct Hooks {
  // Uses a ticket up. An error's message is shown to the user; kNotFound and kUnauthenticated are
  // answered as "bad_ticket".
  std::function<Result<TicketGrant>(std::string_view ticket)> redeem;
  // Whether whoever opened the connection may use this ticket; the request is the one that was
  // upgraded. May be empty: the ticket alone is enough. False is answered as "bad_ticket".
  std::function<bool(const TicketGrant&, const net::Request&)> admits;
  // Path of the desktop's RFB socket; fails while there is none.
  std::function<Result<std::string>(const DesktopId&)> display;
  // Whether the session, the user's role and the desktop still allow this; asked once a second for
  // each connection, so it must be cheap. False closes with 4003.
  std::function<bool(const TicketGrant&)> still_good;
  std::function<void(const ViewerReport&)> report;
  std::function<void(const StreamEnd&)> ended;  // May be empty.
};

struct RelayOptions {
  std::chrono::milliseconds ticket_wait{10'000};  // From the upgrade to the ticket.
  std::chrono::milliseconds recheck_every{1'000};
  size_t viewers_per_desktop_max = 16;
  // Reading from one side stops while more than this waits for the other. Larger: smoother on
  // lines that stall; smaller: less delay behind a slow line.
  size_t queue_to_browser_bytes = 512 * 1024;
  size_t queue_to_desktop_bytes = 256 * 1024;
};

struct ConnectionInfo {
  std::string id;
  TicketGrant grant;
  TimePoint since;
  uint64_t bytes_to_browser = 0;
  uint64_t bytes_to_desktop = 0;
};

// All streams of one portal. One control connection and some view connections per desktop; each
// has an RFB connection of its own, which ends with it, while the desktop lives on. Thread-safe.
class Relay {
 public:
  // Destroy the server before the relay: that ends every connection and with them the last calls
  // of the hooks. `clock` must outlive both.
  static std::unique_ptr<Relay> Create(net::Server& server,
                                       const Clock& clock,
                                       Hooks hooks,
                                       const RelayOptions& options = {});
  virtual ~Relay() = default;

  // Answers GET /v1/stream. The caller has checked Origin; the ticket comes as first message.
  virtual void Accept(const net::Request& request,
                      const std::shared_ptr<net::Responder>& responder) = 0;

  // Closes every connection of a sign-in or token (4003), or of a user, or one by its id (4004).
  virtual void Revoke(const std::string& session) = 0;
  virtual void RevokeUser(const UserId& user) = 0;
  virtual void Kick(const std::string& connection_id) = 0;
  // The desktop stops: closes its connections (4002).
  virtual void Stop(const DesktopId& desktop, const std::string& reason) = 0;

  // {"type":"message"…} and {"type":"stopping"…} to everybody who looks at the desktop.
  virtual void Tell(const DesktopId& desktop, const std::string& text, const std::string& by) = 0;
  virtual void TellStopping(const DesktopId& desktop, TimePoint at, const std::string& reason) = 0;

  virtual std::vector<ConnectionInfo> Connections() const = 0;
};

}  // namespace sluice::stream
