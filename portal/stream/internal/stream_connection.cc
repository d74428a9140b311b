// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/internal/stream_connection.h"

#include <utility>

#include "portal/stream/internal/stream_messages.h"

namespace sluice::stream::internal {
namespace {

using net::CloseCode;

struct RefusalCode {
  Code code;
  const char* text;
};

// How an error of the ticket check is named to the web client; everything else is "unavailable".
constexpr RefusalCode kRefusalCodes[] = {
    {Code::kNotFound, "bad_ticket"},
    {Code::kUnauthenticated, "bad_ticket"},
    {Code::kInvalidArgument, "bad_request"},
    {Code::kPermissionDenied, "forbidden"},
    {Code::kAlreadyExists, "already_open"},
    {Code::kResourceExhausted, "too_many_viewers"},
    {Code::kFailedPrecondition, "not_running"},
};

const char* RefusalOf(Code code) {
  for (const RefusalCode& row : kRefusalCodes) {
    if (row.code == code) return row.text;
  }
  return "unavailable";
}

CloseCode CloseCodeOf(const Error& error) {
  switch (error.code) {
    case Code::kResourceExhausted:
      return CloseCode::kTooBig;
    case Code::kPermissionDenied:
      return CloseCode::kPolicy;
    default:
      return CloseCode::kProtocolError;
  }
}

}  // namespace

StreamConnection::StreamConnection(std::string id,
                                   net::Request upgrade,
                                   std::shared_ptr<net::WebSocket> socket,
                                   std::shared_ptr<Registry> registry)
    : id_(std::move(id)),
      upgrade_(std::move(upgrade)),
      socket_(std::move(socket)),
      registry_(std::move(registry)),
      since_(registry_->clock().Now()),
      started_at_(registry_->clock().Steady()) {}

void StreamConnection::Start() {
  const auto self = shared_from_this();
  socket_->OnMessage(
      [self](net::MessageType type, std::string_view bytes) { self->OnMessage(type, bytes); });
  socket_->OnClose([self](CloseCode code) { self->OnClosed(code); });
  socket_->OnDrained([self] {
    if (self->display_) self->display_->PauseReading(false);
  });
  socket_->Start();
}

void StreamConnection::Close(CloseCode code, const std::string& reason) {
  if (closing_.exchange(true)) return;
  socket_->Close(code, reason);
}

ConnectionInfo StreamConnection::Info() const {
  return {id_, *grant_, since_, bytes_to_browser_, bytes_to_desktop_};
}

void StreamConnection::OnMessage(net::MessageType type, std::string_view bytes) {
  if (closing_) return;
  if (type == net::MessageType::kBinary) {
    if (!display_) return Refuse("bad_request", "The first message must hold the ticket.");
    return OnFromBrowser(bytes);
  }
  if (ticket_seen_) return Close(CloseCode::kProtocolError, "a text message after the ticket");
  ticket_seen_ = true;
  OnTicket(bytes);
}

void StreamConnection::OnTicket(std::string_view text) {
  auto message = ParseTicketMessage(text);
  if (!message) return Refuse("bad_request", message.error().message);
  const Hooks& hooks = registry_->hooks();
  auto grant = hooks.redeem(message->ticket);
  if (!grant) return Refuse(RefusalOf(grant.error().code), grant.error().message);
  if (hooks.admits && !hooks.admits(*grant, upgrade_)) {
    return Refuse("bad_ticket", "The ticket was given to another sign-in.");
  }
  auto path = hooks.display(grant->desktop);
  if (!path) return Refuse(RefusalOf(path.error().code), path.error().message);
  net::Server* server = registry_->server();
  if (server == nullptr) return Refuse("unavailable", "The portal stops.");
  auto display = server->ConnectUnix(*path);
  if (!display) return Refuse("unavailable", "The desktop's display does not answer.");
  grant_ = *std::move(grant);
  auto entered = registry_->Enter(shared_from_this(), message->take_over);
  if (!entered) {
    (*display)->Close();
    return Refuse(RefusalOf(entered.error().code), entered.error().message);
  }
  OpenDisplay(*std::move(display));
}

void StreamConnection::OpenDisplay(std::shared_ptr<net::ByteStream> display) {
  const auto self = shared_from_this();
  from_browser_.emplace(grant_->mode, registry_->clock());
  from_display_.emplace(grant_->mode);
  display_ = std::move(display);
  display_->OnData([self](std::string_view bytes) { self->OnFromDisplay(bytes); });
  display_->OnClose([self] { self->OnDisplayClosed(); });
  display_->OnDrained([self] { self->socket_->PauseReading(false); });
  SendText(ReadyMessage(grant_->mode, grant_->desktop));
  display_->Start();
}

void StreamConnection::Refuse(std::string_view code, const std::string& detail) {
  SendText(RefusedMessage(code, detail));
  Close(CloseCode::kPolicy, std::string(code));
}

void StreamConnection::OnFromBrowser(std::string_view bytes) {
  to_display_.clear();
  auto fed = from_browser_->Feed(bytes, to_display_);
  if (from_browser_->pixel_format() && !pixel_format_set_) {
    // Before the message that carries it goes out: no update of the new format can overtake it.
    pixel_format_set_ = true;
    from_display_->SetPixelFormat(*from_browser_->pixel_format());
  }
  last_input_ms_ = from_browser_->last_input_at().time_since_epoch().count();
  if (!to_display_.empty()) {
    bytes_to_desktop_ += to_display_.size();
    display_->Send(std::exchange(to_display_, {}));
  }
  NoteClipboardDrops();
  if (!fed) return Violated(fed.error());
  if (display_->QueuedBytes() > registry_->options().queue_to_desktop_bytes) {
    socket_->PauseReading(true);
  }
}

void StreamConnection::OnFromDisplay(std::string_view bytes) {
  if (closing_) return;
  to_browser_.reserve(bytes.size() + 64);
  auto fed = from_display_->Feed(bytes, to_browser_);
  if (!to_browser_.empty()) {
    bytes_to_browser_ += to_browser_.size();
    socket_->Send(net::MessageType::kBinary, std::exchange(to_browser_, {}));
  }
  NoteClipboardDrops();
  if (!fed) return Violated(fed.error());
  if (socket_->QueuedBytes() > registry_->options().queue_to_browser_bytes) {
    display_->PauseReading(true);
  }
}

void StreamConnection::NoteClipboardDrops() {
  if (from_browser_->TakeClipboardNotice()) {
    SendText(UserMessage("Your clipboard is larger than 1 MiB and was not sent.", ""));
  }
  if (from_display_->TakeClipboardNotice()) {
    SendText(UserMessage("The desktop's clipboard is larger than 1 MiB and was not sent.", ""));
  }
}

void StreamConnection::Violated(const Error& error) {
  close_reason_ = error.message;
  Close(CloseCodeOf(error), error.message);
}

void StreamConnection::OnDisplayClosed() {
  if (closing_) return;
  // A display that is gone for good is a desktop that stopped; one that only hung up can be opened
  // again.
  if (registry_->hooks().display(grant_->desktop)) {
    close_reason_ = "the display closed the connection";
    return Close(CloseCode::kInternal, close_reason_);
  }
  close_reason_ = "the desktop stopped";
  Close(CloseCode::kDesktopStopped, close_reason_);
}

void StreamConnection::OnClosed(CloseCode code) {
  closing_ = true;
  if (display_) display_->Close();
  StreamEnd end;
  if (grant_) end.grant = *grant_;
  end.bytes_to_browser = bytes_to_browser_;
  end.bytes_to_desktop = bytes_to_desktop_;
  end.since = since_;
  end.code = code;
  end.reason = close_reason_;
  registry_->Leave(*this, end);
}

}  // namespace sluice::stream::internal
