// SPDX-License-Identifier: Apache-2.0
// The portal behind a real server on an ephemeral port: streams, sockets, waiting.
#include <filesystem>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <thread>
#include <unistd.h>

#include "net/client.h"
#include "portal/internal/testing/world.h"
#include "portal/stream/testing/fake_display.h"

namespace sluice::portal {
namespace {

using testing::Ask;
using testing::DesktopBody;
using testing::Person;
using testing::World;
using Json = nlohmann::json;

constexpr std::chrono::milliseconds kPatience(20'000);

class Live : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/portal-live-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    display_ = std::make_unique<stream::testing::FakeDisplay>(
        folder_ + "/rfb.sock", [](stream::testing::DisplayPeer& peer) {
          if (peer.ShakeHands()) (void)peer.Read(1 << 20);
        });
    world.AddCard("GPU-1");
    Options options = testing::TestOptions();
    options.owner_uid = ::getuid();
    portal_ = Portal::Create({.store = *world.store,
                              .control = world.control,
                              .agent = world.agent,
                              .audit = *world.audit,
                              .clock = world.clock,
                              .random = world.random,
                              .display = [this](const DesktopId&) -> Result<std::string> {
                                return folder_ + "/rfb.sock";
                              }},
                             options);
    auto server = net::Server::Create(
        {{.address = "127.0.0.1"}, {.unix_path = folder_ + "/api.sock"}}, {}, portal_->handler());
    ASSERT_TRUE(server) << ToString(server.error());
    server_ = std::move(*server);
    portal_->Start(*server_);
    endpoint_.url = fmt::format("http://127.0.0.1:{}", server_->Ports().front());
  }
  void TearDown() override {
    server_.reset();
    portal_.reset();
    display_.reset();
    std::filesystem::remove_all(folder_);
  }

  net::Response Send(const Ask& ask, const net::Endpoint& endpoint) {
    net::Request request = ask.request();
    request.headers.Set("Host", endpoint.url.substr(endpoint.url.find("//") + 2));
    auto client = net::Client::Create(endpoint);
    EXPECT_TRUE(client);
    auto response = (*client)->Send(request, kPatience);
    EXPECT_TRUE(response) << ToString(response.error());
    return response ? std::move(*response) : net::Response{.status = 0};
  }
  net::Response Send(const Ask& ask) { return Send(ask, endpoint_); }
  net::Endpoint Local() const { return {.url = "unix:" + folder_ + "/api.sock"}; }

  Person SignIn(const std::string& name) {
    const auto response =
        Send(Ask("POST", "/v1/sessions").Json({{"name", name}, {"password", testing::kPassword}}));
    EXPECT_EQ(response.status, 201) << response.body;
    std::string_view cookie = response.headers.Get("Set-Cookie");
    cookie = cookie.substr(0, cookie.find(';'));
    cookie.remove_prefix(cookie.find('=') + 1);
    return {std::string(cookie), Json::parse(response.body).value("csrf_token", "")};
  }
  std::string TicketFor(const Person& person, const Desktop& desktop) {
    const auto response = Send(Ask("POST", "/v1/desktops/" + desktop.id.text() + "/tickets")
                                   .As(person)
                                   .Json({{"mode", "control"}}));
    EXPECT_EQ(response.status, 201) << response.body;
    return Json::parse(response.body).value("ticket", "");
  }
  std::unique_ptr<net::WebSocketClient> OpenStream(const Person& person,
                                                   const std::string& ticket) {
    net::Headers headers;
    headers.Set("Sec-WebSocket-Protocol", "sluice.stream.v1");
    if (!person.cookie.empty()) headers.Set("Cookie", "session=" + person.cookie);
    auto socket = net::WebSocketClient::Connect(endpoint_, "/v1/stream", headers);
    EXPECT_TRUE(socket) << ToString(socket.error());
    const Json first = {{"ticket", ticket}, {"take_over", false}};
    EXPECT_TRUE((*socket)->Send(net::MessageType::kText, first.dump()));
    return std::move(*socket);
  }
  Json FirstText(net::WebSocketClient& socket) {
    const auto message = socket.Receive(kPatience);
    if (!message) return {{"error", message.error().message}};
    return Json::parse(message->bytes, nullptr, false);
  }
  // Receives until the connection ends; the sentence with its code.
  std::string End(net::WebSocketClient& socket) {
    while (true) {
      const auto message = socket.Receive(kPatience);
      if (!message) return message.error().message;
    }
  }

  World world;
  std::string folder_;
  std::unique_ptr<stream::testing::FakeDisplay> display_;
  std::unique_ptr<Portal> portal_;
  std::unique_ptr<net::Server> server_;
  net::Endpoint endpoint_;
};

TEST_F(Live, SignsInMakesADesktopAndShowsIt) {
  world.AddUser("lina", Role::kUser);
  const Person lina = SignIn("lina");
  const auto made = Send(Ask("POST", "/v1/desktops").As(lina).Json(DesktopBody()).Key("k"));
  ASSERT_EQ(made.status, 202) << made.body;
  const auto shown = Send(Ask("GET", std::string(made.headers.Get("Location"))).As(lina));
  EXPECT_EQ(shown.body, made.body);
}

TEST_F(Live, AnswersUnknownPathsWithAProblemAndPagesWithoutAClientWithText) {
  EXPECT_EQ(Send(Ask("GET", "/v1/nothing")).headers.Get("Content-Type"),
            "application/problem+json");
  EXPECT_EQ(Send(Ask("GET", "/desktops")).status, 404);
  EXPECT_EQ(Send(Ask("POST", "/desktops")).headers.Get("Content-Type"), "application/problem+json");
  EXPECT_EQ(Send(Ask("GET", "/openapi.json")).headers.Get("Content-Type"), "application/json");
}

TEST_F(Live, ServesTheLocalAdminOverTheSocket) {
  const auto me = Send(Ask("GET", "/v1/me"), Local());
  EXPECT_EQ(me.status, 200) << me.body;
  EXPECT_EQ(Json::parse(me.body)["user"]["name"], "local-admin");
}

TEST_F(Live, SendsEventsAsTheyHappen) {
  world.AddUser("lina", Role::kUser);
  const Person lina = SignIn("lina");
  auto client = net::Client::Create(endpoint_);
  ASSERT_TRUE(client);
  bool added = false;
  std::string text;
  const auto done = (*client)->Stream(
      Ask("GET", "/v1/events?topics=desktops").As(lina).request(), [&](std::string_view piece) {
        text += piece;
        if (!added) {
          added = true;
          world.AddDesktop(UserId("usr_lina"), "fresh one", DesktopState::kQueued);
        }
        return text.find("\"fresh one\"") == std::string::npos;
      });
  EXPECT_NE(text.find("event: desktop\ndata: {"), std::string::npos) << text;
  (void)done;
}

TEST_F(Live, RefusesEventsWithStrangeTopics) {
  world.AddUser("lina", Role::kUser);
  const Person lina = SignIn("lina");
  EXPECT_EQ(Send(Ask("GET", "/v1/events?topics=secrets").As(lina)).status, 400);
  EXPECT_EQ(Send(Ask("GET", "/v1/events").As(lina).Header("Last-Event-ID", "soon")).status, 400);
}

TEST_F(Live, OpensAScreenWithATicketOnce) {
  world.AddUser("lina", Role::kUser);
  const Person lina = SignIn("lina");
  const Desktop desktop = world.AddDesktop(UserId("usr_lina"), "work", DesktopState::kReady);
  const std::string ticket = TicketFor(lina, desktop);
  const auto first = OpenStream(lina, ticket);
  const Json ready = FirstText(*first);
  EXPECT_EQ(ready["type"], "ready") << ready;
  EXPECT_EQ(ready["desktop_id"], desktop.id.text());
  const auto second = OpenStream(lina, ticket);
  EXPECT_EQ(FirstText(*second)["code"], "bad_ticket");
  EXPECT_NE(End(*second).find("1008"), std::string::npos);
}

TEST_F(Live, RefusesTheTicketOfAnotherUser) {
  world.AddUser("lina", Role::kUser);
  world.AddUser("eve", Role::kUser);
  const Person lina = SignIn("lina");
  const Person eve = SignIn("eve");
  const Desktop desktop = world.AddDesktop(UserId("usr_lina"), "work", DesktopState::kReady);
  const auto stolen = OpenStream(eve, TicketFor(lina, desktop));
  EXPECT_EQ(FirstText(*stolen)["code"], "bad_ticket");
}

TEST_F(Live, RefusesAScreenForAForeignOriginAndWithoutAnUpgrade) {
  net::Headers headers;
  headers.Set("Origin", "https://evil.test");
  headers.Set("Sec-WebSocket-Protocol", "sluice.stream.v1");
  EXPECT_FALSE(net::WebSocketClient::Connect(endpoint_, "/v1/stream", headers));
  EXPECT_EQ(Send(Ask("GET", "/v1/stream")).status, 400);
}

TEST_F(Live, ClosesScreensWhenTheSessionEnds) {
  world.AddUser("lina", Role::kUser);
  const Person lina = SignIn("lina");
  const Desktop desktop = world.AddDesktop(UserId("usr_lina"), "work", DesktopState::kReady);
  const auto screen = OpenStream(lina, TicketFor(lina, desktop));
  EXPECT_EQ(FirstText(*screen)["type"], "ready");
  EXPECT_EQ(Send(Ask("DELETE", "/v1/sessions/current").As(lina)).status, 204);
  EXPECT_NE(End(*screen).find("4003"), std::string::npos);
}

TEST_F(Live, ClosesScreensWhenTheDesktopStops) {
  world.AddUser("lina", Role::kUser);
  const Person lina = SignIn("lina");
  const Desktop desktop = world.AddDesktop(UserId("usr_lina"), "work", DesktopState::kReady);
  const auto screen = OpenStream(lina, TicketFor(lina, desktop));
  EXPECT_EQ(FirstText(*screen)["type"], "ready");
  auto stored = world.Read<Desktop>(desktop.id.text());
  stored.value.state = DesktopState::kStopping;
  world.Put(store::Put(stored.value, stored.version));
  EXPECT_NE(End(*screen).find("4002"), std::string::npos);
}

Json RunBody() {
  return {{"memory_bytes", GiB(6).value()},
          {"command", "train"},
          {"pid", static_cast<int64_t>(::getpid())},
          {"no_wait", false}};
}

// The clock stands still, so that a wait which has missed its change never ends.
TEST_F(Live, AnswersAtOnceWhatAWaitingRunHasNotSeen) {
  const auto made = Send(Ask("POST", "/v1/runs").Json(RunBody()).Key("k"), Local());
  ASSERT_EQ(made.status, 202) << made.body;
  Json run = Json::parse(made.body);
  const auto look = [&] {
    const std::string path = fmt::format("/v1/runs/{}?wait_s=20&wait_from={}",
                                         run["id"].get<std::string>(),
                                         run["wait_from"].get<std::string>());
    run = Json::parse(Send(Ask("GET", path), Local()).body);
  };
  const ClaimId claim(run["id"].get<std::string>());
  for (const int position : {3, 2}) {
    world.control.SetPlace(claim, control::QueuePlace{.position = position, .reason = "full"});
    look();
    EXPECT_EQ(run["position"], position);
  }
  world.control.SetPlace(claim, control::QueuePlace{.position = 2, .reason = "fuller"});
  look();
  EXPECT_EQ(run["reason"], "fuller");
  auto row = world.Read<Claim>(claim.text());
  row.value.phase = ClaimPhase::kRefused;
  world.Put(store::Put(row.value, row.version));
  look();
  EXPECT_EQ(run["phase"], "refused");
}

TEST_F(Live, AnswersAWaitingRunWhenItIsReserved) {
  const auto made = Send(Ask("POST", "/v1/runs").Json(RunBody()).Key("k"), Local());
  ASSERT_EQ(made.status, 202) << made.body;
  const std::string id = Json::parse(made.body)["id"];
  std::thread reserve([&] {
    // Whether this comes before or after the wait has begun, the answer is the same.
    auto claim = world.Read<Claim>(id);
    claim.value.phase = ClaimPhase::kReserved;
    claim.value.allocations = {{.gpu = GpuId("GPU-1"), .memory = GiB(6)}};
    world.Put(store::Put(claim.value, claim.version));
  });
  const auto run = Send(Ask("GET", "/v1/runs/" + id + "?wait_s=20"), Local());
  reserve.join();
  EXPECT_EQ(Json::parse(run.body)["phase"], "reserved") << run.body;
}

}  // namespace
}  // namespace sluice::portal
