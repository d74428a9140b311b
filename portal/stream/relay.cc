// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/relay.h"

#include <algorithm>
#include <fmt/core.h>
#include <map>
#include <mutex>
#include <utility>

#include "base/guarded.h"
#include "base/random.h"
#include "portal/stream/internal/stream_connection.h"
#include "portal/stream/internal/stream_messages.h"

namespace sluice::stream {
namespace {

using internal::Registry;
using internal::StreamConnection;
using net::CloseCode;
using ConnectionPtr = std::shared_ptr<StreamConnection>;

constexpr size_t kMessageBytesMax = 2 << 20;

// Everybody connected, with a ticket or still without. Shared by the relay and its connections,
// which may outlive it by a moment.
class Book final : public Registry, public std::enable_shared_from_this<Book> {
 public:
  Book(net::Server& server, const Clock& clock, Hooks hooks, const RelayOptions& options)
      : clock_(clock),
        hooks_(std::move(hooks)),
        options_(options),
        state_(State{&server, {}, {}}) {}

  const Hooks& hooks() const override { return hooks_; }
  const RelayOptions& options() const override { return options_; }
  const Clock& clock() const override { return clock_; }
  net::Server* server() override {
    return state_.With([](State& state) { return state.server; });
  }

  // False: the relay is gone.
  bool Add(const ConnectionPtr& connection) {
    return state_.With([&](State& state) {
      if (state.server == nullptr) return false;
      state.all[connection.get()] = Entry{connection, {}, Mode::kView, false};
      return true;
    });
  }

  Result<void> Enter(const ConnectionPtr& connection, bool take_over) override {
    const TicketGrant& grant = connection->grant();
    ConnectionPtr replaced;
    auto entered = state_.With([&](State& state) -> Result<void> {
      size_t viewers = 0;
      for (const auto& [key, entry] : state.all) {
        if (!entry.entered || entry.desktop != grant.desktop) continue;
        ++viewers;
        if (entry.mode == Mode::kControl) replaced = entry.connection;
      }
      if (grant.mode == Mode::kView) replaced = nullptr;
      if (replaced && !take_over) {
        return Fail(Code::kAlreadyExists, "This desktop is open in another tab or window.");
      }
      if (!replaced && viewers >= options_.viewers_per_desktop_max) {
        return Fail(Code::kResourceExhausted, "Too many people look at this desktop already.");
      }
      // The one that is replaced stops counting now, not when its peer has answered.
      if (replaced) state.all[replaced.get()].entered = false;
      state.all[connection.get()] = Entry{connection, grant.desktop, grant.mode, true};
      connection->MarkEntered();
      return {};
    });
    if (!entered) return entered;
    if (replaced) {
      replaced->Close(CloseCode::kTakenOver, "the desktop was opened in another tab or window");
    }
    Announce(connection);
    Report(grant.desktop);
    return {};
  }

  void Leave(StreamConnection& connection, const StreamEnd& end) override {
    // Kept until the end of this call: the map may hold the last reference.
    ConnectionPtr keep;
    const bool had_entered = state_.With([&](State& state) {
      const auto found = state.all.find(&connection);
      if (found == state.all.end()) return false;
      keep = found->second.connection;
      const bool entered = found->second.entered;
      state.all.erase(found);
      return entered;
    });
    if (!connection.entered() || server() == nullptr) return;
    if (hooks_.ended) hooks_.ended(end);
    if (end.grant.foreign) {
      SendToControl(end.grant.desktop, internal::BannerMessage("", end.grant.user_name));
    }
    if (had_entered) Report(end.grant.desktop);
  }

  // Everybody for whom `wanted` holds, out of the lock.
  std::vector<ConnectionPtr> Select(const std::function<bool(const StreamConnection&)>& wanted) {
    std::vector<ConnectionPtr> all = All();
    std::erase_if(all, [&](const ConnectionPtr& one) { return !one->entered() || !wanted(*one); });
    return all;
  }

  void Tick() {
    const Duration now = clock_.Steady();
    for (const ConnectionPtr& one : All()) {
      if (!one->entered()) {
        if (now - one->started_at() > options_.ticket_wait) {
          one->Close(CloseCode::kPolicy, "no ticket came");
        }
      } else if (!hooks_.still_good(one->grant())) {
        one->Close(CloseCode::kSignedOut, "signed out");
      }
    }
    ReportInput();
  }

  void CloseAll() {
    state_.With([](State& state) { state.server = nullptr; });
    for (const ConnectionPtr& one : All()) one->Close(CloseCode::kGoingAway, "the portal stops");
  }

 private:
  struct Entry {
    ConnectionPtr connection;
    DesktopId desktop;
    Mode mode = Mode::kView;
    bool entered = false;
  };
  struct State {
    net::Server* server = nullptr;
    std::map<StreamConnection*, Entry> all;
    std::map<DesktopId, TimePoint> reported_input;
  };

  std::vector<ConnectionPtr> All() {
    return state_.With([](State& state) {
      std::vector<ConnectionPtr> all;
      for (const auto& [key, entry] : state.all) all.push_back(entry.connection);
      return all;
    });
  }

  // Tells the desktop's user about somebody who looks, and a user who comes about those who do.
  void Announce(const ConnectionPtr& connection) {
    const TicketGrant& grant = connection->grant();
    const auto text = [](const std::string& name) { return name + " is looking at this desktop."; };
    if (grant.foreign) {
      SendToControl(grant.desktop, internal::BannerMessage(text(grant.user_name), grant.user_name));
    }
    if (grant.mode != Mode::kControl || grant.foreign) return;
    for (const std::string& name : Snapshot(grant.desktop).foreign_users) {
      connection->SendText(internal::BannerMessage(text(name), name));
    }
  }

  void SendToControl(const DesktopId& desktop, const std::string& text) {
    for (const ConnectionPtr& one : Select([&](const StreamConnection& connection) {
           return connection.grant().desktop == desktop && !connection.grant().foreign;
         })) {
      one->SendText(text);
    }
  }

  ViewerReport Snapshot(const DesktopId& desktop) {
    ViewerReport report;
    report.desktop = desktop;
    state_.With([&](State& state) {
      TimePoint& last_input = state.reported_input[desktop];
      for (const auto& [key, entry] : state.all) {
        if (!entry.entered || entry.desktop != desktop) continue;
        ++report.viewers;
        const TicketGrant& grant = entry.connection->grant();
        if (grant.foreign) report.foreign_users.push_back(grant.user_name);
        last_input = std::max(last_input, entry.connection->last_input_at());
      }
      report.last_input_at = last_input;
      if (report.viewers == 0) state.reported_input.erase(desktop);
    });
    std::sort(report.foreign_users.begin(), report.foreign_users.end());
    return report;
  }

  // Reports of one desktop arrive in the order they were taken, whichever thread takes them.
  void Report(const DesktopId& desktop) {
    const std::lock_guard lock(report_order_);
    hooks_.report(Snapshot(desktop));
  }

  void ReportInput() {
    std::vector<DesktopId> changed;
    state_.With([&](State& state) {
      for (const auto& [key, entry] : state.all) {
        if (!entry.entered) continue;
        const auto reported = state.reported_input.find(entry.desktop);
        if (reported == state.reported_input.end() ||
            entry.connection->last_input_at() > reported->second) {
          changed.push_back(entry.desktop);
        }
      }
    });
    std::sort(changed.begin(), changed.end());
    changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
    for (const DesktopId& desktop : changed) Report(desktop);
  }

  const Clock& clock_;
  const Hooks hooks_;
  const RelayOptions options_;
  Guarded<State> state_;
  std::recursive_mutex report_order_;  // Recursive: a hook may make a connection leave.
};

class BookRelay final : public Relay {
 public:
  BookRelay(net::Server& server, const Clock& clock, Hooks hooks, const RelayOptions& options)
      : book_(std::make_shared<Book>(server, clock, std::move(hooks), options)) {
    server.Every(options.recheck_every, [weak = std::weak_ptr<Book>(book_)] {
      if (const auto book = weak.lock()) book->Tick();
    });
  }

  ~BookRelay() override { book_->CloseAll(); }

  void Accept(const net::Request& request,
              const std::shared_ptr<net::Responder>& responder) override {
    net::WebSocketOptions options;
    options.message_bytes_max = kMessageBytesMax;
    if (Offers(request, kSubprotocol)) options.protocol = kSubprotocol;
    const auto socket = responder->AcceptWebSocket(options);
    if (!socket) return;
    SystemRandom random;
    auto connection = std::make_shared<StreamConnection>(
        fmt::format("con_{:016x}", random.Next()), request, socket, book_);
    if (!book_->Add(connection)) return socket->Close(CloseCode::kGoingAway, "the portal stops");
    connection->Start();
    if (options.protocol.empty()) {
      connection->Close(CloseCode::kPolicy, "the viewer does not offer sluice.stream.v1");
    }
  }

  void Revoke(const std::string& session) override {
    CloseWhere(CloseCode::kSignedOut, "signed out", [&](const StreamConnection& one) {
      return one.grant().session == session;
    });
  }

  void RevokeUser(const UserId& user) override {
    CloseWhere(CloseCode::kSignedOut, "signed out", [&](const StreamConnection& one) {
      return one.grant().user == user;
    });
  }

  void Kick(const std::string& connection_id) override {
    CloseWhere(CloseCode::kKicked, "ended by an operator", [&](const StreamConnection& one) {
      return one.id() == connection_id;
    });
  }

  void Stop(const DesktopId& desktop, const std::string& reason) override {
    CloseWhere(CloseCode::kDesktopStopped, reason, [&](const StreamConnection& one) {
      return one.grant().desktop == desktop;
    });
  }

  void Tell(const DesktopId& desktop, const std::string& text, const std::string& by) override {
    SendWhere(desktop, internal::UserMessage(text, by));
  }

  void TellStopping(const DesktopId& desktop, TimePoint at, const std::string& reason) override {
    SendWhere(desktop, internal::StoppingMessage(at, reason));
  }

  std::vector<ConnectionInfo> Connections() const override {
    std::vector<ConnectionInfo> out;
    for (const ConnectionPtr& one : book_->Select([](const StreamConnection&) { return true; })) {
      out.push_back(one->Info());
    }
    return out;
  }

 private:
  static bool Offers(const net::Request& request, std::string_view protocol) {
    std::string_view offered = request.headers.Get("Sec-WebSocket-Protocol");
    while (!offered.empty()) {
      const size_t end = std::min(offered.find(','), offered.size());
      std::string_view one = offered.substr(0, end);
      while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
      while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
      if (one == protocol) return true;
      offered.remove_prefix(std::min(end + 1, offered.size()));
    }
    return false;
  }

  void CloseWhere(CloseCode code,
                  const std::string& reason,
                  const std::function<bool(const StreamConnection&)>& wanted) {
    for (const ConnectionPtr& one : book_->Select(wanted)) one->Close(code, reason);
  }

  void SendWhere(const DesktopId& desktop, const std::string& text) {
    for (const ConnectionPtr& one : book_->Select([&](const StreamConnection& connection) {
           return connection.grant().desktop == desktop;
         })) {
      one->SendText(text);
    }
  }

  const std::shared_ptr<Book> book_;
};

}  // namespace

std::unique_ptr<Relay> Relay::Create(net::Server& server,
                                     const Clock& clock,
                                     Hooks hooks,
                                     const RelayOptions& options) {
  return std::make_unique<BookRelay>(server, clock, std::move(hooks), options);
}

}  // namespace sluice::stream
