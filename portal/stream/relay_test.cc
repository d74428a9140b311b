// SPDX-License-Identifier: Apache-2.0
// The relay between our WebSocket client and displays that are made up.
#include "portal/stream/relay.h"

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <gtest/gtest.h>
#include <map>

#include "base/guarded.h"
#include "portal/stream/testing/fake_display.h"
#include "portal/stream/testing/rfb_bytes.h"
#include "portal/stream/testing/viewer.h"

namespace sluice::stream {
namespace {

using namespace testing;  // NOLINT: the words of this test's language.
using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{10};

// A server with a relay and one desktop, "dsk_1", whose display the test makes.
class Portal {
 public:
  explicit Portal(RelayOptions options = {}, net::ServerOptions server_options = {}) {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-relay-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    net::Listen listen;
    listen.address = "127.0.0.1";
    auto server = net::Server::Create(
        {listen}, server_options, [this](const net::Request& request, auto responder) {
          relay_.load()->Accept(request, responder);
        });
    EXPECT_TRUE(server);
    server_ = *std::move(server);
    options.recheck_every = milliseconds(20);
    owned_ = Relay::Create(*server_, clock_, MakeHooks(), options);
    relay_ = owned_.get();
  }

  ~Portal() {
    server_.reset();
    owned_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string display_path() const { return folder_ + "/rfb.sock"; }
  Relay& relay() { return *owned_; }

  // A ticket that works once.
  std::string Ticket(const std::string& user, Mode mode, bool foreign = false) {
    return tickets_.With([&](auto& tickets) {
      std::string ticket = "ticket-" + std::to_string(tickets.size()) + "-" + user;
      tickets[ticket] =
          TicketGrant{UserId(user), user, "session-" + user, DesktopId("dsk_1"), mode, foreign};
      return ticket;
    });
  }

  std::unique_ptr<Viewer> Open(const std::string& ticket, bool take_over = false) {
    const net::Endpoint endpoint{"http://127.0.0.1:" + std::to_string(server_->Ports()[0]), "", ""};
    auto viewer = Viewer::Open(endpoint, ticket, take_over);
    EXPECT_TRUE(viewer) << viewer.error().message;
    return *std::move(viewer);
  }

  std::unique_ptr<Viewer> OpenReady(const std::string& user, Mode mode = Mode::kControl) {
    auto viewer = Open(Ticket(user, mode));
    EXPECT_NE(viewer->NextText().find("\"ready\""), std::string::npos);
    EXPECT_EQ(viewer->ShakeHands().substr(0, 4), U16(64) + U16(48));
    return viewer;
  }

  net::Endpoint endpoint() const {
    return {"http://127.0.0.1:" + std::to_string(server_->Ports()[0]), "", ""};
  }

  bool WaitReport(const std::function<bool(const ViewerReport&)>& wanted) {
    return report_.WaitFor(kPatience, wanted);
  }
  StreamEnd WaitEnd() {
    ends_.WaitFor(kPatience, [](const auto& ends) { return !ends.empty(); });
    return ends_.With([](const auto& ends) { return ends.empty() ? StreamEnd{} : ends.back(); });
  }

  Guarded<bool>& display_up() { return display_up_; }
  void Disable(const std::string& user) {
    disabled_.With([&](std::string& name) { name = user; });
  }

 private:
  Hooks MakeHooks() {
    Hooks hooks;
    hooks.redeem = [this](std::string_view ticket) -> Result<TicketGrant> {
      return tickets_.With([&](auto& tickets) -> Result<TicketGrant> {
        const auto found = tickets.find(std::string(ticket));
        if (found == tickets.end() || found->second.user.empty()) {
          return Fail(Code::kNotFound, "This ticket is not valid.");
        }
        return std::exchange(found->second, TicketGrant{});
      });
    };
    hooks.display = [this](const DesktopId&) -> Result<std::string> {
      if (!display_up_.With([](bool up) { return up; })) {
        return Fail(Code::kFailedPrecondition, "The desktop is not running.");
      }
      return display_path();
    };
    hooks.still_good = [this](const TicketGrant& grant) {
      return disabled_.With([&](const std::string& name) { return grant.user_name != name; });
    };
    hooks.report = [this](const ViewerReport& report) {
      report_.Change([&](ViewerReport& value) { value = report; });
    };
    hooks.ended = [this](const StreamEnd& end) {
      ends_.Change([&](std::vector<StreamEnd>& ends) { ends.push_back(end); });
    };
    return hooks;
  }

  std::string folder_;
  SystemClock clock_;
  Guarded<std::map<std::string, TicketGrant>> tickets_;
  Guarded<bool> display_up_{true};
  Guarded<std::string> disabled_;
  Guarded<ViewerReport> report_;
  Guarded<std::vector<StreamEnd>> ends_;
  std::unique_ptr<Relay> owned_;
  std::atomic<Relay*> relay_{nullptr};
  std::unique_ptr<net::Server> server_;
};

const std::string kRequest = B({3, 0}) + U16(0) + U16(0) + U16(64) + U16(48);
const std::string kPixel = Update({1, 2, 1, 1, 0}, "rgb0");

TEST(Relay, PassesRfbBothWays) {
  Portal portal;
  const FakeDisplay display(portal.display_path(), ServePixels);
  const auto viewer = portal.OpenReady("ada");
  for (int i = 0; i < 3; ++i) {
    viewer->Send(kRequest);
    EXPECT_EQ(viewer->Read(kPixel.size()), kPixel);
  }
  const auto connections = portal.relay().Connections();
  ASSERT_EQ(connections.size(), 1u);
  EXPECT_EQ(connections[0].bytes_to_desktop, 14 + 3 * kRequest.size());
  EXPECT_EQ(connections[0].bytes_to_browser, ServerHandshake(64, 48).size() + 3 * kPixel.size());
}

TEST(Relay, RefusesATicketThatIsUnknownOrUsed) {
  Portal portal;
  const FakeDisplay display(portal.display_path(), ServePixels);
  const std::string ticket = portal.Ticket("ada", Mode::kControl);
  const auto first = portal.Open(ticket);
  EXPECT_NE(first->NextText().find("\"ready\""), std::string::npos);
  for (const std::string& bad : {ticket, std::string("guess"), std::string()}) {
    const auto second = portal.Open(bad);
    EXPECT_NE(second->NextText().find("refused"), std::string::npos);
    EXPECT_EQ(second->NextText().substr(0, 11), "closed 1008");
  }
}

TEST(Relay, RefusesWhatIsNoTicketMessage) {
  Portal portal;
  net::Headers headers;
  headers.Add("Sec-WebSocket-Protocol", std::string(kSubprotocol));
  const std::string deep(4000, '[');
  for (const std::string& text : {std::string("hello"),
                                  std::string("[]"),
                                  std::string(R"({"ticket":7})"),
                                  std::string(R"({"ticket":"x","admin":true})"),
                                  deep,
                                  std::string(5000, ' ')}) {
    auto socket = net::WebSocketClient::Connect(portal.endpoint(), "/v1/stream", headers);
    ASSERT_TRUE(socket);
    ASSERT_TRUE((*socket)->Send(net::MessageType::kText, text));
    const auto answer = (*socket)->Receive(kPatience);
    ASSERT_TRUE(answer);
    EXPECT_NE(answer->bytes.find("bad_request"), std::string::npos);
    EXPECT_FALSE((*socket)->Receive(kPatience));
  }
  auto binary = net::WebSocketClient::Connect(portal.endpoint(), "/v1/stream", headers);
  ASSERT_TRUE((*binary)->Send(net::MessageType::kBinary, "RFB 003.008\n"));
  EXPECT_NE((*binary)->Receive(kPatience)->bytes.find("refused"), std::string::npos);
}

TEST(Relay, WantsTheSubprotocol) {
  Portal portal;
  auto viewer =
      Viewer::Open(portal.endpoint(), portal.Ticket("ada", Mode::kControl), false, "binary");
  ASSERT_TRUE(viewer);
  EXPECT_EQ((*viewer)->WaitClosed().substr(0, 11), "closed 1008");
}

TEST(Relay, ClosesWhoBringsNoTicket) {
  RelayOptions options;
  options.ticket_wait = milliseconds(50);
  Portal portal(options);
  net::Headers headers;
  headers.Add("Sec-WebSocket-Protocol", std::string(kSubprotocol));
  auto socket = net::WebSocketClient::Connect(portal.endpoint(), "/v1/stream", headers);
  const auto answer = (*socket)->Receive(kPatience);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, "closed 1008 no ticket came");
}

TEST(Relay, SaysThatADesktopIsNotThere) {
  Portal portal;
  const auto nobody = portal.Open(portal.Ticket("ada", Mode::kControl));
  EXPECT_NE(nobody->NextText().find("unavailable"), std::string::npos);
  portal.display_up().With([](bool& up) { up = false; });
  const auto stopped = portal.Open(portal.Ticket("ada", Mode::kControl));
  EXPECT_NE(stopped->NextText().find("not_running"), std::string::npos);
}

TEST(Relay, GivesControlToOneAtATime) {
  Portal portal;
  const FakeDisplay display(portal.display_path(), ServePixels);
  const auto first = portal.OpenReady("ada");
  const auto second = portal.Open(portal.Ticket("ada", Mode::kControl));
  EXPECT_NE(second->NextText().find("already_open"), std::string::npos);
  const auto third = portal.Open(portal.Ticket("ada", Mode::kControl), true);
  EXPECT_NE(third->NextText().find("\"ready\""), std::string::npos);
  EXPECT_EQ(first->WaitClosed().substr(0, 11), "closed 4001");
  third->ShakeHands();
  third->Send(kRequest);
  EXPECT_EQ(third->Read(kPixel.size()), kPixel);
  EXPECT_TRUE(portal.WaitReport([](const ViewerReport& report) { return report.viewers == 1; }));
}

TEST(Relay, ShowsABannerWhileAnOperatorLooks) {
  Portal portal;
  const FakeDisplay display(portal.display_path(), ServePixels);
  const auto user = portal.OpenReady("ada");
  {
    const auto operator_view = portal.Open(portal.Ticket("grace", Mode::kView, true));
    EXPECT_NE(operator_view->NextText().find("\"view\""), std::string::npos);
    const std::string banner = user->NextText();
    EXPECT_NE(banner.find("grace is looking"), std::string::npos);
    EXPECT_TRUE(portal.WaitReport([](const ViewerReport& report) {
      return report.viewers == 2 && report.foreign_users == std::vector<std::string>{"grace"};
    }));
  }
  EXPECT_NE(user->NextText().find("\"text\":\"\""), std::string::npos);
  EXPECT_TRUE(portal.WaitReport([](const ViewerReport& report) {
    return report.viewers == 1 && report.foreign_users.empty();
  }));
}

TEST(Relay, TellsAUserWhoComesLaterWhoLooks) {
  Portal portal;
  const FakeDisplay display(portal.display_path(), ServePixels);
  const auto operator_view = portal.Open(portal.Ticket("grace", Mode::kView, true));
  EXPECT_NE(operator_view->NextText().find("\"ready\""), std::string::npos);
  const auto user = portal.Open(portal.Ticket("ada", Mode::kControl));
  EXPECT_NE((user->NextText() + user->NextText()).find("grace is looking"), std::string::npos);
}

TEST(Relay, ReportsInputOfControllersOnly) {
  Portal portal;
  const FakeDisplay display(portal.display_path(), ServePixels);
  const std::string key = B({4, 1, 0, 0}) + U32('a');
  const auto view = portal.OpenReady("grace", Mode::kView);
  view->Send(key + kRequest);
  EXPECT_EQ(view->Read(kPixel.size()), kPixel);
  EXPECT_TRUE(portal.WaitReport([](const ViewerReport& report) {
    return report.viewers == 1 && report.last_input_at == TimePoint();
  }));
  const auto control = portal.OpenReady("ada");
  control->Send(key);
  EXPECT_TRUE(portal.WaitReport(
      [](const ViewerReport& report) { return report.last_input_at > TimePoint(); }));
}

TEST(Relay, ClosesTheStreamsOfASessionThatEnds) {
  Portal portal;
  const FakeDisplay display(portal.display_path(), ServePixels);
  const auto ada = portal.OpenReady("ada");
  const auto grace = portal.OpenReady("grace", Mode::kView);
  portal.relay().Revoke("session-ada");
  EXPECT_EQ(ada->WaitClosed(), "closed 4003 signed out");
  portal.Disable("grace");
  EXPECT_EQ(grace->WaitClosed(), "closed 4003 signed out");
}

TEST(Relay, KicksOneAndStopsAll) {
  Portal portal;
  const FakeDisplay display(portal.display_path(), ServePixels);
  const auto ada = portal.OpenReady("ada");
  const auto grace = portal.OpenReady("grace", Mode::kView);
  for (const ConnectionInfo& info : portal.relay().Connections()) {
    if (info.grant.user_name == "grace") portal.relay().Kick(info.id);
  }
  EXPECT_EQ(grace->WaitClosed().substr(0, 11), "closed 4004");
  portal.relay().Tell(DesktopId("dsk_1"), "Lunch!", "grace");
  EXPECT_NE(ada->NextText().find("Lunch!"), std::string::npos);
  portal.relay().TellStopping(DesktopId("dsk_1"), TimePoint(Duration(0)), "its time is over");
  EXPECT_NE(ada->NextText().find("1970-01-01T00:00:00"), std::string::npos);
  portal.relay().Stop(DesktopId("dsk_1"), "stopped by its owner");
  EXPECT_EQ(ada->WaitClosed(), "closed 4002 stopped by its owner");
}

TEST(Relay, ClosesTheDisplayWithTheBrowser) {
  Portal portal;
  FakeDisplay display(portal.display_path(), ServePixels);
  portal.OpenReady("ada").reset();
  EXPECT_TRUE(display.WaitIdle());
  EXPECT_EQ(portal.WaitEnd().grant.user_name, "ada");
  portal.OpenReady("ada");
  EXPECT_EQ(display.connections(), 2) << "a new viewer gets a new handshake";
}

TEST(Relay, TellsADeadDisplayFromAStoppedDesktop) {
  Portal portal;
  {
    const FakeDisplay display(portal.display_path(), [](DisplayPeer& peer) { peer.ShakeHands(); });
    const auto viewer = portal.OpenReady("ada");
    EXPECT_EQ(viewer->WaitClosed().substr(0, 11), "closed 1011");
  }
  auto display = std::make_unique<FakeDisplay>(portal.display_path(), ServePixels);
  const auto viewer = portal.OpenReady("ada");
  portal.display_up().With([](bool& up) { up = false; });
  display.reset();
  EXPECT_EQ(viewer->WaitClosed(), "closed 4002 the desktop stopped");
}

TEST(Relay, SurvivesHostileDisplays) {
  Portal portal;
  const std::string hostile[] = {
      Update({60, 40, 10, 10, 0}, ""),
      B({3, 0, 0, 0}) + U32(1u << 30),
      B({99}),
      Update({0, 0, 4, 4, 16}, U32(0x7fffffff)),
  };
  for (const std::string& bytes : hostile) {
    const FakeDisplay display(portal.display_path(), [&](DisplayPeer& peer) {
      peer.ShakeHands();
      peer.Send(bytes);
      peer.Read(1);
    });
    const auto viewer = portal.OpenReady("ada");
    const std::string closed = viewer->WaitClosed();
    EXPECT_TRUE(closed.find("the display") != std::string::npos ||
                closed.find("the desktop") != std::string::npos)
        << closed;
  }
  const FakeDisplay display(portal.display_path(), ServePixels);
  const auto viewer = portal.OpenReady("ada");
  viewer->Send(kRequest);
  EXPECT_EQ(viewer->Read(kPixel.size()), kPixel);
}

TEST(Relay, SurvivesAHostileBrowser) {
  Portal portal;
  const FakeDisplay display(portal.display_path(), ServePixels);
  const auto viewer = portal.OpenReady("ada");
  viewer->Send(B({77}));
  EXPECT_EQ(viewer->WaitClosed().substr(0, 11), "closed 1002");
  const auto next = portal.OpenReady("ada");
  next->Send(kRequest);
  EXPECT_EQ(next->Read(kPixel.size()), kPixel);
}

TEST(Relay, HoldsADisplayBackForASlowBrowser) {
  // Without back pressure the queue limit would cut the stream off.
  net::ServerOptions server_options;
  server_options.stream_queue_bytes_max = 2 << 20;
  Portal portal({}, server_options);
  constexpr int kUpdates = 3'000;  // 37 MB: more than all the kernel's buffers on the way.
  const std::string update = Update({0, 0, 64, 48, 0}, std::string(64 * 48 * 4, 'x'));
  enum class Display { kSending, kHeldBack, kDone };
  Guarded<Display> state{Display::kSending};
  const FakeDisplay display(portal.display_path(), [&](DisplayPeer& peer) {
    peer.ShakeHands();
    for (int i = 0; i < kUpdates; ++i) {
      if (!peer.WaitWritable(std::chrono::milliseconds(200))) {
        state.Change([](Display& value) { value = Display::kHeldBack; });
      }
      if (!peer.Send(update)) return;
    }
    state.Change([](Display& value) {
      if (value == Display::kSending) value = Display::kDone;
    });
    peer.Read(1);
  });
  const auto viewer = portal.OpenReady("ada");
  state.WaitFor(kPatience, [](Display value) { return value != Display::kSending; });
  EXPECT_EQ(state.With([](Display value) { return value; }), Display::kHeldBack);
  for (int i = 0; i < kUpdates; ++i) ASSERT_EQ(viewer->Read(update.size()), update) << i;
}

TEST(Relay, HoldsABrowserBackForASlowDisplay) {
  Portal portal;
  constexpr size_t kTexts = 24;
  constexpr size_t kChunk = 64 * 1024;
  // Two messages, the relay's own queue, and the kernel's buffer.
  constexpr size_t kAheadMax = 4 << 20;
  const std::string text = B({6, 0, 0, 0}) + U32(1 << 20) + std::string(1 << 20, 't');
  Guarded<size_t> received;
  std::atomic<size_t> ahead_max{0};
  const FakeDisplay display(portal.display_path(), [&](DisplayPeer& peer) {
    peer.ShakeHands();
    size_t all = 0;
    while (all < kTexts * text.size()) {
      const size_t got = peer.Read(std::min(kChunk, kTexts * text.size() - all)).size();
      if (got == 0) break;
      all += got;
      for (const ConnectionInfo& info : portal.relay().Connections()) {
        ahead_max = std::max<size_t>(
            ahead_max, info.bytes_to_desktop - std::min<size_t>(all, info.bytes_to_desktop));
      }
    }
    received.Change([all](size_t& value) { value = all; });
  });
  const auto viewer = portal.OpenReady("ada");
  std::thread sender([&] {
    for (size_t i = 0; i < kTexts; ++i) viewer->Send(text);
  });
  received.WaitFor(std::chrono::seconds(60), [](size_t got) { return got > 0; });
  sender.join();
  EXPECT_EQ(received.With([](size_t got) { return got; }), kTexts * text.size());
  EXPECT_LE(ahead_max, kAheadMax);
}

TEST(Relay, LimitsViewers) {
  RelayOptions options;
  options.viewers_per_desktop_max = 2;
  Portal portal(options);
  const FakeDisplay display(portal.display_path(), ServePixels);
  const auto first = portal.OpenReady("ada");
  const auto second = portal.OpenReady("grace", Mode::kView);
  const auto third = portal.Open(portal.Ticket("linus", Mode::kView));
  EXPECT_NE(third->NextText().find("too_many_viewers"), std::string::npos);
}

}  // namespace
}  // namespace sluice::stream
