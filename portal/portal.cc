// SPDX-License-Identifier: Apache-2.0
#include "portal/portal.h"

#include <atomic>
#include <charconv>
#include <fmt/format.h>
#include <utility>

#include "base/log.h"
#include "portal/internal/event_hub.h"
#include "portal/internal/gateway.h"
#include "portal/internal/request_fields.h"
#include "portal/internal/static_files.h"
#include "portal/stream/relay.h"

namespace sluice::portal {
namespace {

constexpr Duration kSweepEvery = std::chrono::minutes(10);

// The relay as handlers and the hub see it.
class RelayControl final : public StreamControl {
 public:
  explicit RelayControl(stream::Relay& relay) : relay_(relay) {}

  void Tell(const DesktopId& desktop, const std::string& text, const std::string& by) override {
    relay_.Tell(desktop, text, by);
  }
  void TellStopping(const DesktopId& desktop, TimePoint at, const std::string& why) override {
    relay_.TellStopping(desktop, at, why);
  }
  void Stopped(const DesktopId& desktop, const std::string& why) override {
    relay_.Stop(desktop, why);
  }
  void EndSession(const std::string& session) override { relay_.Revoke(session); }
  void EndUser(const UserId& user) override { relay_.RevokeUser(user); }

 private:
  stream::Relay& relay_;
};

class PortalOnServer final : public Portal {
 public:
  PortalOnServer(const Parts& parts, const Options& options)
      : display_(parts.display),
        app_(parts, options),
        gateway_(app_),
        files_(options.web_root),
        hub_(app_, gateway_) {
    app_.viewers.OnChange([this](const DesktopId& desktop) { hub_.ShowAgain(desktop); });
  }

  // The relay's last reports still reach the hub; the hub's thread uses the relay.
  ~PortalOnServer() override {
    hub_.Stop();
    app_.streams = nullptr;
    relay_control_.reset();
    relay_.reset();
  }
  PortalOnServer(const PortalOnServer&) = delete;
  PortalOnServer& operator=(const PortalOnServer&) = delete;

  net::Handler handler() override {
    return [this](net::Request request, std::shared_ptr<net::Responder> responder) {
      Handle(std::move(request), std::move(responder));
    };
  }

  void Start(net::Server& server) override;

 private:
  void Handle(net::Request request, std::shared_ptr<net::Responder> responder);
  void ServeEvents(const Admitted& admitted,
                   const net::Request& request,
                   const std::shared_ptr<net::Responder>& responder);
  void ServeStream(const Admitted& admitted,
                   const net::Request& request,
                   const std::shared_ptr<net::Responder>& responder);
  void ServeRunWait(Admitted admitted,
                    net::Request request,
                    std::shared_ptr<net::Responder> responder);
  void ServeBlocking(Admitted admitted,
                     net::Request request,
                     std::shared_ptr<net::Responder> responder);
  void ServeFile(const net::Request& request, net::Responder& responder);
  stream::Hooks RelayHooks();
  Result<stream::TicketGrant> Redeem(std::string_view ticket);
  bool Admits(const stream::TicketGrant& grant, const net::Request& upgrade);
  bool StillGood(const stream::TicketGrant& grant);
  void Ended(const stream::StreamEnd& end);

  const std::function<Result<std::string>(const DesktopId&)> display_;
  App app_;
  Gateway gateway_;
  StaticFiles files_;
  EventHub hub_;
  std::unique_ptr<stream::Relay> relay_;
  std::unique_ptr<RelayControl> relay_control_;
  std::atomic<net::Server*> server_ = nullptr;  // Set once the portal serves.
};

void PortalOnServer::Start(net::Server& server) {
  relay_ = stream::Relay::Create(server, app_.clock, RelayHooks());
  relay_control_ = std::make_unique<RelayControl>(*relay_);
  app_.streams = relay_control_.get();
  hub_.Start();
  server.Every(kSweepEvery, [this] {
    (void)server_.load()->RunBlocking([this] {
      app_.sessions.Sweep();
      app_.replays.Sweep();
    });
  });
  server_ = &server;
}

stream::Hooks PortalOnServer::RelayHooks() {
  return {
      .redeem = [this](std::string_view ticket) { return Redeem(ticket); },
      .admits = [this](const stream::TicketGrant& grant,
                       const net::Request& upgrade) { return Admits(grant, upgrade); },
      .display = display_,
      .still_good = [this](const stream::TicketGrant& grant) { return StillGood(grant); },
      .report =
          [this](const stream::ViewerReport& report) {
            app_.viewers.Report(
                report.desktop, {report.viewers, report.foreign_users}, report.last_input_at);
          },
      .ended = [this](const stream::StreamEnd& end) { Ended(end); },
  };
}

Result<stream::TicketGrant> PortalOnServer::Redeem(std::string_view ticket) {
  const auto grant = app_.tickets.Redeem(ticket, app_.clock.Steady());
  if (!grant) return Fail(Code::kNotFound, "the ticket is unknown, used or expired");
  stream::TicketGrant out{.user = grant->user,
                          .user_name = grant->user_name,
                          .session = grant->session,
                          .desktop = grant->desktop,
                          .mode = grant->control ? stream::Mode::kControl : stream::Mode::kView,
                          .foreign = grant->foreign};
  if (!StillGood(out)) return Fail(Code::kUnauthenticated, "the sign-in has ended");
  return out;
}

// A browser sends its cookie along: then the ticket must have been given to that very sign-in.
// Programs may send the ticket alone; it is as long as a token and lives half a minute.
bool PortalOnServer::Admits(const stream::TicketGrant& grant, const net::Request& upgrade) {
  const Caller caller = gateway_.Authenticate(upgrade);
  if (caller.kind == Caller::Kind::kNobody) return true;
  return caller.session == grant.session && caller.user.id == grant.user;
}

bool PortalOnServer::StillGood(const stream::TicketGrant& grant) {
  if (!grant.session.empty() && !app_.sessions.StillGood(grant.session)) return false;
  const auto user = app_.objects.Get<User>(grant.user.text());
  if (!user || (*user)->value.disabled) return false;
  const auto desktop = app_.objects.Get<Desktop>(grant.desktop.text());
  if (!desktop) return false;
  if (grant.foreign) return (*user)->value.role >= Role::kOperator;
  return (*desktop)->value.owner == grant.user;
}

void PortalOnServer::Ended(const stream::StreamEnd& end) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(app_.clock.Now() - end.since);
  control::AuditNote note{"stream.end",
                          end.grant.desktop.text(),
                          "ok",
                          fmt::format("{}, {} s, {} to the browser{}{}",
                                      end.grant.mode == stream::Mode::kControl ? "control" : "view",
                                      seconds.count(),
                                      ToText(Bytes(static_cast<int64_t>(end.bytes_to_browser))),
                                      end.reason.empty() ? "" : ", ",
                                      end.reason)};
  const control::Actor actor{end.grant.user_name, "stream", ""};
  net::Server* server = server_;
  const auto append = [this, actor, note] { app_.audit.Append(actor, note); };
  // A full pool means that people wait for answers; then the I/O thread pays for the row.
  if (server == nullptr || !server->RunBlocking(append)) append();
}

void PortalOnServer::ServeFile(const net::Request& request, net::Responder& responder) {
  net::Response response = files_.Serve(request);
  AddSecurityHeaders(response.headers, request);
  responder.Send(std::move(response));
}

void PortalOnServer::Handle(net::Request request, std::shared_ptr<net::Responder> responder) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (reads && !IsApiPath(request.path)) return ServeFile(request, *responder);
  auto admitted = gateway_.Admit(request);
  if (!admitted) return responder->Send(std::move(admitted.error()));
  if (server_ == nullptr) {
    return responder->Send(gateway_.Refuse(
        *admitted,
        request,
        {.code = ProblemCode::kUnavailable, .detail = "Starting.", .retry_after_s = 1}));
  }
  switch (admitted->route->serving) {
    case Serving::kPlain:
      return responder->Send(gateway_.Run(*admitted, request));
    case Serving::kBlocking:
      return ServeBlocking(std::move(*admitted), std::move(request), std::move(responder));
    case Serving::kEvents:
      return ServeEvents(*admitted, request, responder);
    case Serving::kWebSocket:
      return ServeStream(*admitted, request, responder);
    case Serving::kRunWait:
      return ServeRunWait(std::move(*admitted), std::move(request), std::move(responder));
  }
}

void PortalOnServer::ServeBlocking(Admitted admitted,
                                   net::Request request,
                                   std::shared_ptr<net::Responder> responder) {
  struct Work {
    Admitted admitted;
    net::Request request;
    std::shared_ptr<net::Responder> responder;
  };
  const auto work =
      std::make_shared<Work>(Work{std::move(admitted), std::move(request), std::move(responder)});
  const bool taken = server_.load()->RunBlocking(
      [this, work] { work->responder->Send(gateway_.Run(work->admitted, work->request)); });
  if (taken) return;
  Problem busy{.code = ProblemCode::kUnavailable, .detail = "Too much to do at once."};
  busy.retry_after_s = 1;
  work->responder->Send(gateway_.Refuse(work->admitted, work->request, busy));
}

void PortalOnServer::ServeEvents(const Admitted& admitted,
                                 const net::Request& request,
                                 const std::shared_ptr<net::Responder>& responder) {
  const auto refuse = [&](Problem why) {
    responder->Send(gateway_.Refuse(admitted, request, why));
  };
  const auto topics = ParseTopics(request.Query("topics"));
  if (!topics) {
    return refuse(NoField(ProblemCode::kBadRequest,
                          "?topics",
                          "topics are some of: desktops,gpus,queue,users,audit.")
                      .value());
  }
  std::optional<uint64_t> last;
  if (const std::string_view text = request.headers.Get("Last-Event-ID"); !text.empty()) {
    uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, value);
    if (read.ec != std::errc() || read.ptr != end) {
      return refuse(
          {.code = ProblemCode::kBadRequest, .detail = "Last-Event-ID is not one of ours."});
    }
    last = value;
  }
  if (!hub_.HasRoomFor(admitted.caller.user.id)) {
    return refuse({.code = ProblemCode::kRateLimited,
                   .detail = "Too many event streams are open.",
                   .retry_after_s = 10});
  }
  net::Response head;
  head.headers.Set("Content-Type", "text/event-stream");
  head.headers.Set("X-Accel-Buffering", "no");
  head.headers.Set("X-Request-Id", admitted.request_id);
  AddSecurityHeaders(head.headers, request);
  if (request.method == "HEAD") return responder->Send(std::move(head));
  hub_.Subscribe({.caller = admitted.caller,
                  .topics = *topics & TopicsFor(admitted.caller),
                  .last_seen = last,
                  .stream = responder->Stream(std::move(head))});
}

void PortalOnServer::ServeStream(const Admitted& admitted,
                                 const net::Request& request,
                                 const std::shared_ptr<net::Responder>& responder) {
  if (!FromOwnOrigin(request)) {
    return responder->Send(
        gateway_.Refuse(admitted,
                        request,
                        {.code = ProblemCode::kForeignOrigin,
                         .detail = "The connection was opened by a page of another site."}));
  }
  if (request.headers.Get("Upgrade").empty()) {
    return responder->Send(gateway_.Refuse(
        admitted,
        request,
        {.code = ProblemCode::kBadRequest, .detail = "This is a WebSocket; send Upgrade."}));
  }
  relay_->Accept(request, responder);
}

void PortalOnServer::ServeRunWait(Admitted admitted,
                                  net::Request request,
                                  std::shared_ptr<net::Responder> responder) {
  const auto wait = QueryInt(request, "wait_s", {0, 20}, 0);
  const std::string before = wait && *wait > 0 ? hub_.RunSignature(admitted.id) : "";
  const std::string_view seen = request.Query("wait_from");
  if (before.empty() || (!seen.empty() && seen != before))
    return responder->Send(gateway_.Run(admitted, request));
  // The first look proves that the caller may see it; nobody waits for what he may not.
  net::Response now = gateway_.Run(admitted, request);
  if (now.status != 200) return responder->Send(std::move(now));
  const Duration deadline = app_.clock.Steady() + std::chrono::seconds(*wait);
  EventHub::RunWaiter waiter{
      std::move(admitted), std::move(request), std::move(responder), deadline, before};
  if (hub_.WaitForRun(waiter)) return;
  waiter.responder->Send(gateway_.Run(waiter.admitted, waiter.request));
}

}  // namespace

std::unique_ptr<Portal> Portal::Create(const Parts& parts, const Options& options) {
  return std::make_unique<PortalOnServer>(parts, options);
}

}  // namespace sluice::portal
