// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/testing/world.h"

#include <gtest/gtest.h>
#include <utility>

#include "model/template.h"
#include "portal/internal/secrets.h"
#include "store/codec.h"

namespace sluice::portal::testing {

Ask::Ask(std::string method, std::string target) {
  request_.method = std::move(method);
  request_.target = std::move(target);
  const size_t mark = request_.target.find('?');
  request_.path = request_.target.substr(0, mark);
  request_.remote = "203.0.113.9";
  request_.headers.Set("Host", "portal.test:8443");
  std::string_view rest;
  if (mark != std::string::npos) rest = std::string_view(request_.target).substr(mark + 1);
  while (!rest.empty()) {
    const size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    const size_t equals = pair.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    request_.query.emplace_back(pair.substr(0, equals), value);
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
}

Ask& Ask::As(const Person& person) {
  request_.headers.Set("Cookie",
                       (request_.secure ? "__Host-session=" : "session=") + person.cookie);
  request_.headers.Set("X-CSRF-Token", person.csrf);
  return *this;
}

Ask& Ask::Bearer(const std::string& token) {
  return Header("Authorization", "Bearer " + token);
}

Ask& Ask::Json(const nlohmann::json& body) {
  return Body(body.dump());
}

Ask& Ask::Body(std::string body) {
  request_.body = std::move(body);
  return Header("Content-Type", "application/json");
}

Ask& Ask::Header(std::string_view name, std::string value) {
  request_.headers.Set(name, std::move(value));
  return *this;
}

Ask& Ask::From(std::string remote) {
  request_.remote = std::move(remote);
  return *this;
}

Ask& Ask::OverLocalSocket(uint32_t uid) {
  request_.remote = "unix";
  request_.peer = net::PeerProcess{.pid = 1, .uid = uid};
  return *this;
}

Ask& Ask::OverTls() {
  request_.secure = true;
  return *this;
}

Options TestOptions() {
  Options options;
  options.version = "0.0.0-test";
  options.password_passes = 1;
  options.password_memory_bytes = 8192;
  options.owner_uid = 1'000;
  return options;
}

nlohmann::json DesktopBody(const std::string& name) {
  return {{"name", name},
          {"template_id", "shell"},
          {"kind", "container"},
          {"gpu", {{"memory_bytes", GiB(8).value()}}},
          {"idle", {{"stop_after_s", 3600}, {"gpu_keeps_alive", true}}}};
}

World::World()
    : app({.store = *store,
           .control = control,
           .agent = agent,
           .audit = *audit,
           .clock = clock,
           .random = random,
           .plan = [this](const PlanQuestion& question) { return plan(question); }},
          TestOptions()) {
  (void)*EnsureFirstAdmin(*store, *audit, clock, random, TestOptions());
  // Needs nothing of the host, so that tests run on any machine.
  Put(store::Put(Template{.id = TemplateId("shell"), .name = "Shell", .summary = "A shell."}, 0));
}

void World::Put(const store::Write& write) {
  const auto done = store->Commit({&write, 1});
  ASSERT_TRUE(done) << ToString(done.error());
}

store::Versioned<User> World::AddUser(const std::string& name, Role role) {
  const User user{.id = UserId("usr_" + name),
                  .name = name,
                  .display_name = name,
                  .role = role,
                  .password_hash = *HashPassword(kPassword, app.password_cost),
                  .created_at = clock.Now()};
  Put(store::Put(user, 0));
  return Read<User>(user.id.text());
}

Person World::SignIn(const std::string& name, std::string_view password) {
  const net::Response response =
      Send(Ask("POST", "/v1/sessions").Json({{"name", name}, {"password", password}}));
  EXPECT_EQ(response.status, 201) << response.body;
  const auto body = nlohmann::json::parse(response.body);
  std::string_view cookie = response.headers.Get("Set-Cookie");
  cookie = cookie.substr(0, cookie.find(';'));
  cookie.remove_prefix(cookie.find('=') + 1);
  return {std::string(cookie), body.value("csrf_token", "")};
}

Person World::Somebody(const std::string& name, Role role) {
  AddUser(name, role);
  return SignIn(name);
}

void World::AddCard(const std::string& id) {
  Gpu gpu{.id = GpuId(id),
          .node = NodeId("here"),
          .vendor = "nvidia",
          .model = "Sluice simulated GPU",
          .simulated = true,
          .memory = GiB(24),
          .last_seen = clock.Now()};
  Put(store::Put(gpu, 0));
  cards_.push_back({gpu, {.memory_used = GiB(1), .utilization_percent = 7}});
  agent.SetCards(cards_);
  control.SetOffers({{.gpu_model = gpu.model,
                      .simulated = true,
                      .largest_now = GiB(16),
                      .largest_ever = GiB(24),
                      .cards = static_cast<int>(cards_.size()),
                      .fits_now = 2,
                      .answer = "starts now"}});
}

Desktop World::AddDesktop(const UserId& owner, const std::string& name, DesktopState state) {
  Desktop desktop;
  desktop.id = DesktopId(NewIdText("dsk", clock.Now(), random));
  desktop.name = name;
  desktop.owner = owner;
  desktop.template_id = TemplateId("shell");
  desktop.request.memory = GiB(8);
  desktop.state = state;
  desktop.reason = "As the test wants it.";
  desktop.created_at = clock.Now();
  desktop.state_since = clock.Now();
  if (IsRunning(state) || state == DesktopState::kQueued) {
    Claim claim;
    claim.id = ClaimId(NewIdText("clm", clock.Now(), random));
    claim.desktop = desktop.id;
    claim.user = owner;
    claim.request = desktop.request;
    claim.reason = "As the test wants it.";
    claim.created_at = clock.Now();
    if (state != DesktopState::kQueued) {
      claim.phase = ClaimPhase::kCommitted;
      claim.allocations = {{.gpu = GpuId("GPU-1"), .memory = GiB(8)}};
    }
    Put(store::Put(claim, 0));
    desktop.claim = claim.id;
  }
  if (state == DesktopState::kReady) desktop.ready_at = clock.Now();
  Put(store::Put(desktop, 0));
  return desktop;
}

nlohmann::json World::SendForJson(const Ask& ask, int status) {
  const net::Response response = Send(ask);
  EXPECT_EQ(response.status, status) << ask.request().method << " " << ask.request().target << "\n"
                                     << response.body;
  auto json = nlohmann::json::parse(response.body, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << response.body;
  return json;
}

}  // namespace sluice::portal::testing
