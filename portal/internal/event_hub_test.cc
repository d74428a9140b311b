// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/event_hub.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>

#include "portal/internal/testing/world.h"

namespace sluice::portal {
namespace {

using testing::Ask;
using testing::World;
using Json = nlohmann::json;

constexpr std::chrono::seconds kPatience(20);

// What a browser would have received.
class Reader final : public net::ResponseStream {
 public:
  bool Write(std::shared_ptr<const std::string> piece) override {
    if (closed_) return false;
    text_.Change([&](std::string& text) { text += *piece; });
    return true;
  }
  void Close() override {
    text_.Change([this](std::string&) { closed_ = true; });
  }
  bool closed() const override { return closed_; }
  void OnClose(std::function<void()>) override {}

  bool WaitFor(std::string_view part) {
    return text_.WaitFor(
        kPatience, [&](const std::string& text) { return text.find(part) != std::string::npos; });
  }
  bool WaitForEnd() {
    return text_.WaitFor(kPatience, [&](const std::string&) { return closed_.load(); });
  }
  std::string text() const {
    return text_.With([](const std::string& text) { return text; });
  }

 private:
  Guarded<std::string> text_;
  std::atomic<bool> closed_ = false;
};

class Events : public ::testing::Test {
 protected:
  Events() : hub(world.app, world.gateway) {
    world.AddCard("GPU-1");
    for (const char* name : {"lina", "eve"}) world.AddUser(name, Role::kUser);
    world.AddUser("omar", Role::kOperator);
    world.AddUser("ada", Role::kAdmin);
    hub.Start();
  }

  std::shared_ptr<Reader> Watch(const std::string& name,
                                std::optional<uint64_t> last_seen = std::nullopt,
                                const std::string& session = "") {
    Caller caller;
    caller.kind = Caller::Kind::kLocal;
    caller.user = world.Read<User>("usr_" + name).value;
    caller.session = session;
    auto reader = std::make_shared<Reader>();
    hub.Subscribe(
        {.caller = caller, .topics = TopicsFor(caller), .last_seen = last_seen, .stream = reader});
    return reader;
  }
  Desktop AddFor(const std::string& name, const std::string& desktop) {
    return world.AddDesktop(UserId("usr_" + name), desktop, DesktopState::kQueued);
  }
  // A row that everybody sees, after everything that was committed before.
  void Mark(std::vector<std::shared_ptr<Reader>> readers) {
    auto gpu = world.Read<Gpu>("GPU-1");
    world.Put(store::Put(gpu.value, gpu.version));
    const std::string id = "id: " + std::to_string(world.store->Version()) + "\nevent: gpu\n";
    for (const auto& reader : readers) EXPECT_TRUE(reader->WaitFor(id)) << reader->text();
  }

  World world;
  EventHub hub;
};

TEST_F(Events, ReachTheOwnerAndOperatorsOnly) {
  const auto lina = Watch("lina");
  const auto eve = Watch("eve");
  const auto omar = Watch("omar");
  const Desktop desktop = AddFor("lina", "secret work");
  EXPECT_TRUE(lina->WaitFor("event: desktop\ndata: {\"id\":\"" + desktop.id.text()));
  EXPECT_TRUE(omar->WaitFor(desktop.id.text()));
  Mark({lina, eve, omar});
  EXPECT_EQ(eve->text().find("secret work"), std::string::npos);
  EXPECT_EQ(eve->text().find(desktop.id.text()), std::string::npos);
}

TEST_F(Events, CarryTheVersionAsId) {
  const auto lina = Watch("lina");
  const Desktop desktop = AddFor("lina", "work");
  const uint64_t version = world.Read<Desktop>(desktop.id.text()).version;
  EXPECT_TRUE(lina->WaitFor("id: " + std::to_string(version) + "\nevent: desktop\n"))
      << lina->text();
}

TEST_F(Events, OfUsersAndAuditReachThoseWhoMaySeeThem) {
  const auto lina = Watch("lina");
  const auto omar = Watch("omar");
  const auto ada = Watch("ada");
  world.AddUser("fresh", Role::kUser);
  world.audit->Append({"lina", "unix", ""}, {"thing.done", "x", "ok", ""});
  EXPECT_TRUE(ada->WaitFor("event: user\ndata: {\"id\":\"usr_fresh\""));
  EXPECT_TRUE(ada->WaitFor("event: audit"));
  EXPECT_TRUE(omar->WaitFor("thing.done"));
  Mark({lina, omar, ada});
  EXPECT_EQ(omar->text().find("usr_fresh"), std::string::npos);
  EXPECT_EQ(lina->text().find("event: audit"), std::string::npos);
  EXPECT_EQ(ada->text().find("argon2"), std::string::npos);
}

TEST_F(Events, TellOfDeletionToTheOwnerOnly) {
  const Desktop desktop = AddFor("lina", "work");
  const auto lina = Watch("lina");
  const auto eve = Watch("eve");
  Mark({lina, eve});
  world.Put({store::Kind::kDesktop, desktop.id.text(), std::nullopt, std::nullopt});
  EXPECT_TRUE(lina->WaitFor("event: deleted\ndata: {\"kind\":\"desktop\",\"id\":\"" +
                            desktop.id.text() + "\"}"));
  Mark({eve});
  EXPECT_EQ(eve->text().find(desktop.id.text()), std::string::npos);
}

TEST_F(Events, AreCaughtUpAfterABreak) {
  const uint64_t before = world.store->Version();
  const Desktop missed = AddFor("lina", "missed");
  Mark({Watch("eve")});
  const auto lina = Watch("lina", before);
  EXPECT_NE(lina->text().find("\"missed\""), std::string::npos) << lina->text();
  const Desktop later = AddFor("lina", "later");
  EXPECT_TRUE(lina->WaitFor("\"later\""));
}

TEST_F(Events, BeginWithAResetWhenTheHistoryIsGone) {
  const auto ahead = Watch("lina", world.store->Version() + 1'000'000);
  EXPECT_TRUE(ahead->WaitFor("event: reset\n")) << ahead->text();
}

TEST_F(Events, OfUseComeWhenItChanges) {
  const Desktop desktop = world.AddDesktop(UserId("usr_lina"), "work", DesktopState::kReady);
  const auto lina = Watch("lina");
  const auto eve = Watch("eve");
  for (int gib = 1; gib <= 2; ++gib) {
    agent::ShareUsage usage;
    usage.devices.push_back({.gpu = GpuId("GPU-1"), .limit = GiB(8), .used = GiB(gib)});
    world.agent.SetUsage(desktop.claim, usage);
    world.clock.Advance(Duration(1'000));
    EXPECT_TRUE(lina->WaitFor("\"used_bytes\":" + std::to_string(GiB(gib).value())));
  }
  EXPECT_EQ(eve->text().find("event: usage"), std::string::npos);
}

TEST_F(Events, ShowAQueuedDesktopAgainWhenItsPlaceChanges) {
  const Desktop desktop = AddFor("lina", "work");
  const auto lina = Watch("lina");
  for (const int position : {5, 4}) {
    world.control.SetPlace(
        desktop.claim, control::QueuePlace{.position = position, .waiting = 5, .reason = "full"});
    world.clock.Advance(Duration(1'000));
    EXPECT_TRUE(lina->WaitFor("\"position\":" + std::to_string(position)));
  }
}

TEST_F(Events, EndWithTheirSession) {
  world.Put({store::Kind::kSession, "s1", 0, "{}"});
  const auto lina = Watch("lina", std::nullopt, "s1");
  const auto other = Watch("lina", std::nullopt, "s2");
  world.Put({store::Kind::kSession, "s1", std::nullopt, std::nullopt});
  EXPECT_TRUE(lina->WaitForEnd());
  EXPECT_FALSE(other->closed());
}

TEST_F(Events, EndWhenTheRoleChanges) {
  const auto omar = Watch("omar");
  auto user = world.Read<User>("usr_omar");
  user.value.role = Role::kUser;
  world.Put(store::Put(user.value, user.version));
  EXPECT_TRUE(omar->WaitForEnd());
}

TEST_F(Events, ReachFiveHundredReadersEncodedOnce) {
  std::vector<std::shared_ptr<Reader>> readers;
  for (int i = 0; i < 500; ++i) readers.push_back(Watch(i % 2 == 0 ? "lina" : "omar"));
  EXPECT_EQ(hub.streams(), 500U);
  const Desktop desktop = AddFor("lina", "for all of you");
  for (const auto& reader : readers) EXPECT_TRUE(reader->WaitFor(desktop.id.text()));
}

TEST_F(Events, AreLimitedPerUser) {
  std::vector<std::shared_ptr<Reader>> readers;
  for (size_t i = 0; i < world.app.options.event_streams_per_user; ++i) {
    EXPECT_TRUE(hub.HasRoomFor(UserId("usr_lina")));
    readers.push_back(Watch("lina"));
  }
  EXPECT_FALSE(hub.HasRoomFor(UserId("usr_lina")));
  EXPECT_TRUE(hub.HasRoomFor(UserId("usr_eve")));
  readers.front()->Close();
  EXPECT_TRUE(hub.HasRoomFor(UserId("usr_lina")));
}

TEST(Topics, AreReadFromWords) {
  EXPECT_EQ(ParseTopics("desktops,queue"), kTopicDesktops | kTopicQueue);
  EXPECT_EQ(ParseTopics("desktops,"), std::nullopt);
  EXPECT_EQ(ParseTopics("secrets"), std::nullopt);
  EXPECT_EQ(ParseTopics(""), ~0U);
}

}  // namespace
}  // namespace sluice::portal
