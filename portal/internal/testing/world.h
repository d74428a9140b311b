// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "portal/audit.h"
#include "portal/internal/app.h"
#include "portal/internal/gateway.h"
#include "portal/internal/testing/fakes.h"
#include "portal/portal.h"
#include "store/memory.h"

namespace sluice::portal::testing {

// What a test wants to be: a request is built step by step.
//   world.Send(Ask("POST", "/v1/desktops").As(lina).Json({…}).Key("k1"))
struct Person {
  std::string cookie;
  std::string csrf;
};

class Ask {
 public:
  Ask(std::string method, std::string target);
  Ask& As(const Person& person);
  Ask& Bearer(const std::string& token);
  Ask& Json(const nlohmann::json& body);
  Ask& Body(std::string body);
  Ask& Key(std::string key) { return Header("Idempotency-Key", std::move(key)); }
  Ask& Match(uint64_t version) { return Header("If-Match", "\"" + std::to_string(version) + "\""); }
  Ask& Header(std::string_view name, std::string value);
  Ask& From(std::string remote);
  Ask& OverLocalSocket(uint32_t uid);
  Ask& OverTls();
  const net::Request& request() const { return request_; }

 private:
  net::Request request_;
};

inline constexpr std::string_view kPassword = "correct horse battery";

// A portal without sockets and threads: memory store, fakes, a clock that stands still.
class World {
 public:
  World();

  store::Versioned<User> AddUser(const std::string& name, Role role);
  Person SignIn(const std::string& name, std::string_view password = kPassword);
  // Adds the user too.
  Person Somebody(const std::string& name, Role role);
  // A card of 24 GiB, with an offer for it.
  void AddCard(const std::string& id);
  // A stored desktop in this state, with a committed claim when it runs.
  Desktop AddDesktop(const UserId& owner, const std::string& name, DesktopState state);

  net::Response Send(const Ask& ask) { return gateway.Serve(ask.request()); }
  nlohmann::json SendForJson(const Ask& ask, int status);

  template <typename T>
  store::Versioned<T> Read(std::string_view id) {
    return *store::Read<T>(*store, id);
  }
  void Put(const store::Write& write);
  std::vector<store::Object> Rows(store::Kind kind) { return store->List(kind, "", 0)->objects; }
  std::vector<AuditRow> AuditRows() { return *audit->Read(1, audit->head_seq()); }

  std::unique_ptr<store::Store> store = store::OpenMemory();
  ManualClock clock;
  SystemRandom random;
  FakeControl control{*store};
  FakeAgent agent;
  std::unique_ptr<AuditLog> audit = *AuditLog::Create(*store, clock);
  // What the planner answers.
  std::function<Result<std::string>(const PlanQuestion&)> plan;
  App app;
  Gateway gateway{app};

 private:
  std::vector<agent::CardState> cards_;
};

// Cheap hashes; otherwise as delivered.
Options TestOptions();

// A body for POST /v1/desktops that is right.
nlohmann::json DesktopBody(const std::string& name = "work");

}  // namespace sluice::portal::testing
