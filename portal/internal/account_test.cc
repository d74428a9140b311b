// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "portal/internal/testing/world.h"

namespace sluice::portal {
namespace {

using testing::Ask;
using testing::Person;
using testing::World;
using Json = nlohmann::json;

Ask SignInAs(const std::string& name, std::string_view password) {
  return Ask("POST", "/v1/sessions").Json({{"name", name}, {"password", password}});
}

TEST(SignIn, SetsACookieThatScriptsCannotRead) {
  World world;
  world.AddUser("lina", Role::kUser);
  const auto plain = world.Send(SignInAs("lina", testing::kPassword));
  EXPECT_EQ(plain.status, 201);
  std::string cookie(plain.headers.Get("Set-Cookie"));
  EXPECT_TRUE(cookie.starts_with("session=")) << cookie;
  EXPECT_NE(cookie.find("; Path=/; HttpOnly; SameSite=Lax"), std::string::npos);
  EXPECT_EQ(cookie.find("Secure"), std::string::npos);
  cookie = world.Send(SignInAs("lina", testing::kPassword).OverTls()).headers.Get("Set-Cookie");
  EXPECT_TRUE(cookie.starts_with("__Host-session=")) << cookie;
  EXPECT_NE(cookie.find("; Secure"), std::string::npos);
  const Json body = Json::parse(plain.body);
  EXPECT_EQ(body["user"]["name"], "lina");
  EXPECT_FALSE(body["must_change_password"]);
  EXPECT_EQ(plain.body.find("argon2"), std::string::npos);
}

TEST(SignIn, KeepsNoCookieInTheStore) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  for (const auto& object : world.Rows(store::Kind::kSession)) {
    EXPECT_EQ(object.id.find(lina.cookie), std::string::npos);
    EXPECT_EQ(object.body.find(lina.cookie), std::string::npos);
  }
}

TEST(SignIn, SaysTheSameForAWrongNameAndAWrongPassword) {
  World world;
  world.AddUser("lina", Role::kUser);
  Json name = world.SendForJson(SignInAs("nobody", "whatever it is"), 401);
  Json password = world.SendForJson(SignInAs("lina", "whatever it is"), 401);
  name.erase("request_id");
  password.erase("request_id");
  EXPECT_EQ(name, password);
  EXPECT_EQ(name["code"], "wrong_credentials");
}

TEST(SignIn, RefusesTheDisabledAndThoseWithoutAPassword) {
  World world;
  auto lina = world.AddUser("lina", Role::kUser);
  lina.value.disabled = true;
  world.Put(store::Put(lina.value, lina.version));
  world.SendForJson(SignInAs("lina", testing::kPassword), 401);
  world.SendForJson(SignInAs("local-admin", "x"), 401);
}

TEST(SignIn, LocksOutAfterFiveFailuresAlsoForNamesThatDoNotExist) {
  World world;
  world.AddUser("lina", Role::kUser);
  for (const char* name : {"lina", "nobody"}) {
    for (int i = 0; i < 5; ++i) world.SendForJson(SignInAs(name, "wrong").From("192.0.2.1"), 401);
    world.clock.Advance(Duration(29'000));
    const auto response = world.Send(SignInAs(name, testing::kPassword).From("192.0.2.1"));
    EXPECT_EQ(response.status, 429);
    EXPECT_EQ(response.headers.Get("Retry-After"), "1");
    EXPECT_EQ(Json::parse(response.body)["code"], "locked_out");
  }
  world.clock.Advance(Duration(60'000));
  world.SendForJson(SignInAs("lina", testing::kPassword).From("192.0.2.1"), 201);
}

TEST(SignIn, IsAuditedWhenItFails) {
  World world;
  (void)world.Send(SignInAs("mallory", "wrong"));
  const AuditRow row = world.AuditRows().back();
  EXPECT_EQ(row.actor, "mallory");
  EXPECT_EQ(row.action, "session.create");
  EXPECT_EQ(row.outcome, "refused");
  EXPECT_EQ(row.source, "203.0.113.9");
}

TEST(Session, EndsAfterEightIdleHours) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  world.clock.Advance(std::chrono::hours(7));
  world.SendForJson(Ask("GET", "/v1/me").As(lina), 200);
  world.clock.Advance(std::chrono::hours(7));
  world.SendForJson(Ask("GET", "/v1/me").As(lina), 200);
  world.clock.Advance(std::chrono::hours(8));
  world.SendForJson(Ask("GET", "/v1/me").As(lina), 401);
}

TEST(Session, EndsAfterADayHoweverBusy) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  for (int hour = 0; hour < 23; ++hour) {
    world.clock.Advance(std::chrono::hours(1));
    world.SendForJson(Ask("GET", "/v1/me").As(lina), 200);
  }
  world.clock.Advance(std::chrono::hours(1));
  world.SendForJson(Ask("GET", "/v1/me").As(lina), 401);
}

TEST(Session, CannotBeReplayedAfterSigningOut) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  const auto out = world.Send(Ask("DELETE", "/v1/sessions/current").As(lina));
  EXPECT_EQ(out.status, 204);
  EXPECT_NE(out.headers.Get("Set-Cookie").find("Max-Age=0"), std::string_view::npos);
  world.SendForJson(Ask("GET", "/v1/me").As(lina), 401);
}

TEST(Session, EndsEverywhereAtOnce) {
  World world;
  const Person here = world.Somebody("lina", Role::kUser);
  const Person there = world.SignIn("lina");
  const Person omar = world.Somebody("omar", Role::kUser);
  EXPECT_EQ(world.Send(Ask("DELETE", "/v1/sessions").As(here)).status, 204);
  world.SendForJson(Ask("GET", "/v1/me").As(here), 401);
  world.SendForJson(Ask("GET", "/v1/me").As(there), 401);
  world.SendForJson(Ask("GET", "/v1/me").As(omar), 200);
}

TEST(Session, SurvivesAClockThatIsSetBackAndNotOneThatIsSetFarAhead) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  world.clock.JumpWall(-std::chrono::hours(10));
  world.SendForJson(Ask("GET", "/v1/me").As(lina), 200);
  world.clock.JumpWall(std::chrono::hours(40));
  world.SendForJson(Ask("GET", "/v1/me").As(lina), 401);
}

TEST(SignIn, WorksForManyAtOnce) {
  World world;
  world.AddUser("lina", Role::kUser);
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      if (world.Send(SignInAs("lina", testing::kPassword)).status == 201) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 4);
}

TEST(Session, IsSweptWhenItHasExpired) {
  World world;
  (void)world.Somebody("lina", Role::kUser);
  world.clock.Advance(std::chrono::hours(25));
  world.app.sessions.Sweep();
  EXPECT_TRUE(world.store->List(store::Kind::kSession, "", 0)->objects.empty());
}

TEST(Password, ChangeEndsOtherSessionsAndRenewsThisOne) {
  World world;
  const Person here = world.Somebody("lina", Role::kUser);
  const Person there = world.SignIn("lina");
  const Json body = {
      {"password", {{"current", testing::kPassword}, {"new", "a new long password"}}}};
  const auto response = world.Send(Ask("PATCH", "/v1/me").As(here).Json(body));
  ASSERT_EQ(response.status, 200) << response.body;
  std::string cookie(response.headers.Get("Set-Cookie"));
  cookie = cookie.substr(8, cookie.find(';') - 8);
  EXPECT_NE(cookie, here.cookie);
  world.SendForJson(Ask("GET", "/v1/me").As(here), 401);
  world.SendForJson(Ask("GET", "/v1/me").As(there), 401);
  const Json me = world.SendForJson(Ask("GET", "/v1/me").As({cookie, ""}), 200);
  EXPECT_EQ(me["csrf_token"], Json::parse(response.body)["csrf_token"]);
  world.SendForJson(SignInAs("lina", testing::kPassword), 401);
  (void)world.SignIn("lina", "a new long password");
}

TEST(Password, ChangeWantsTheOldOneAndALongNewOne) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  const auto change = [&](std::string_view current, std::string_view fresh) {
    const Json body = {{"password", {{"current", current}, {"new", fresh}}}};
    return world.SendForJson(Ask("PATCH", "/v1/me").As(lina).Json(body), 422)["errors"][0];
  };
  EXPECT_EQ(change("wrong", "a new long password")["pointer"], "/password/current");
  EXPECT_EQ(change(testing::kPassword, "short")["pointer"], "/password/new");
  EXPECT_EQ(change(testing::kPassword, testing::kPassword)["pointer"], "/password/new");
}

TEST(FirstAdmin, IsMadeOnceWithAPasswordToBeChanged) {
  const auto store = store::OpenMemory();
  ManualClock clock;
  SystemRandom random;
  const auto audit = *AuditLog::Create(*store, clock);
  const auto first = EnsureFirstAdmin(*store, *audit, clock, random, testing::TestOptions());
  ASSERT_TRUE(first);
  ASSERT_TRUE(first->has_value());
  EXPECT_EQ((*first)->name, "admin");
  const auto second = EnsureFirstAdmin(*store, *audit, clock, random, testing::TestOptions());
  EXPECT_FALSE(second->has_value());
  EXPECT_EQ(store->List(store::Kind::kUser, "", 0)->objects.size(), 2U);
}

TEST(FirstAdmin, MayDoNothingBeforeChoosingAPassword) {
  World world;
  auto user = world.AddUser("fresh", Role::kAdmin);
  user.value.must_change_password = true;
  world.Put(store::Put(user.value, user.version));
  const Person fresh = world.SignIn("fresh");
  EXPECT_EQ(world.SendForJson(Ask("GET", "/v1/desktops").As(fresh), 403)["code"],
            "password_change_required");
  world.SendForJson(Ask("GET", "/v1/me").As(fresh), 200);
  const Json body = {
      {"password", {{"current", testing::kPassword}, {"new", "a new long password"}}}};
  EXPECT_EQ(world.Send(Ask("PATCH", "/v1/me").As(fresh).Json(body)).status, 200);
  const Person after = world.SignIn("fresh", "a new long password");
  world.SendForJson(Ask("GET", "/v1/desktops").As(after), 200);
}

class Tokens : public ::testing::Test {
 protected:
  Json Create(const Json& scopes, int64_t expires_in_s = 3600) {
    const Json body = {{"name", "ci"}, {"scopes", scopes}, {"expires_in_s", expires_in_s}};
    return world.SendForJson(
        Ask("POST", "/v1/me/tokens").As(lina).Json(body).Key(std::to_string(++keys_)), 201);
  }
  World world;
  Person lina = world.Somebody("lina", Role::kUser);

 private:
  int keys_ = 0;
};

TEST_F(Tokens, OpenWhatTheirScopeSays) {
  const std::string token = Create({"desktops:read"})["token"];
  EXPECT_TRUE(token.starts_with("slc_"));
  world.SendForJson(Ask("GET", "/v1/desktops").Bearer(token), 200);
  world.SendForJson(Ask("GET", "/v1/me").Bearer(token), 200);
  world.SendForJson(Ask("GET", "/v1/gpus").Bearer(token), 403);
  world.SendForJson(Ask("POST", "/v1/desktops").Bearer(token).Json({}).Key("k"), 403);
}

TEST_F(Tokens, CannotMakeTokensOrChangeTheAccount) {
  const std::string token =
      Create({"desktops:read", "desktops:write", "gpus:read", "admin"})["token"];
  world.SendForJson(Ask("POST", "/v1/me/tokens").Bearer(token).Json({}).Key("k"), 403);
  world.SendForJson(Ask("PATCH", "/v1/me").Bearer(token).Json({}), 403);
  world.SendForJson(Ask("GET", "/v1/users").Bearer(token), 403);
}

TEST_F(Tokens, ShowTheirSecretOnceAndKeepItsHash) {
  const Json made = Create({"desktops:read"});
  const std::string secret = made["token"].get<std::string>();
  const Json list = world.SendForJson(Ask("GET", "/v1/me/tokens").As(lina), 200);
  EXPECT_FALSE(list["items"][0].contains("token"));
  const std::string tail = secret.substr(secret.find('.') + 1);
  for (const auto kind : {store::Kind::kToken, store::Kind::kIdempotency, store::Kind::kAudit}) {
    for (const auto& object : world.Rows(kind)) {
      EXPECT_EQ(object.body.find(tail), std::string::npos);
    }
  }
}

TEST_F(Tokens, NoteWhenTheyWereUsed) {
  const Json made = Create({"desktops:read"});
  EXPECT_TRUE(made["last_used_at"].is_null());
  world.SendForJson(Ask("GET", "/v1/desktops").Bearer(made["token"]), 200);
  const Json list = world.SendForJson(Ask("GET", "/v1/me/tokens").As(lina), 200);
  EXPECT_FALSE(list["items"][0]["last_used_at"].is_null());
}

TEST_F(Tokens, EndByTimeAndByRevocation) {
  const Json early = Create({"desktops:read"}, 60);
  const Json late = Create({"desktops:read"});
  world.clock.Advance(std::chrono::seconds(60));
  world.SendForJson(Ask("GET", "/v1/desktops").Bearer(early["token"]), 401);
  world.SendForJson(Ask("GET", "/v1/desktops").Bearer(late["token"]), 200);
  const std::string path = "/v1/me/tokens/" + late["id"].get<std::string>();
  EXPECT_EQ(world.Send(Ask("DELETE", path).As(lina)).status, 204);
  world.SendForJson(Ask("GET", "/v1/desktops").Bearer(late["token"]), 401);
  world.SendForJson(Ask("DELETE", path).As(lina), 404);
}

TEST_F(Tokens, BelongToTheirUser) {
  const Json made = Create({"desktops:read"});
  const Person omar = world.Somebody("omar", Role::kAdmin);
  EXPECT_TRUE(world.SendForJson(Ask("GET", "/v1/me/tokens").As(omar), 200)["items"].empty());
  world.SendForJson(Ask("DELETE", "/v1/me/tokens/" + made["id"].get<std::string>()).As(omar), 404);
}

class Users : public ::testing::Test {
 protected:
  Json Add(const std::string& name, const std::string& role = "user") {
    return world.SendForJson(
        Ask("POST", "/v1/users").As(ada).Json({{"name", name}, {"role", role}}).Key(name), 201);
  }
  // The only admin besides the one of the installation, which is disabled.
  void SetUp() override {
    const auto users = store::ReadAll<User>(*world.store);
    for (const auto& user : *users) {
      if (user.value.name != "admin") continue;
      User disabled = user.value;
      disabled.disabled = true;
      world.Put(store::Put(disabled, user.version));
    }
  }
  World world;
  Person ada = world.Somebody("ada", Role::kAdmin);
};

TEST_F(Users, SignInWithTheirOneTimePasswordAndMustChangeIt) {
  const Json lina = Add("lina");
  const auto signed_in =
      world.SendForJson(SignInAs("lina", lina["one_time_password"].get<std::string>()), 201);
  EXPECT_TRUE(signed_in["must_change_password"]);
}

TEST_F(Users, HaveUniqueCleanNames) {
  (void)Add("lina");
  const auto again = world.SendForJson(
      Ask("POST", "/v1/users").As(ada).Json({{"name", "lina"}, {"role", "user"}}).Key("2"), 409);
  EXPECT_EQ(again["code"], "already_exists");
  for (const char* name : {"Lina", "1lina", "li na", "", "lina\u202e", "../x"}) {
    world.SendForJson(Ask("POST", "/v1/users")
                          .As(ada)
                          .Json({{"name", name}, {"role", "user"}})
                          .Key(std::string("k") + std::to_string(std::hash<std::string>()(name))),
                      422);
  }
}

TEST_F(Users, LoseTheirSessionsWhenDisabled) {
  const Person lina = world.Somebody("lina", Role::kUser);
  const auto user = world.Read<User>("usr_lina");
  world.SendForJson(
      Ask("PATCH", "/v1/users/usr_lina").As(ada).Match(user.version).Json({{"disabled", true}}),
      200);
  world.SendForJson(Ask("GET", "/v1/me").As(lina), 401);
}

TEST_F(Users, LoseTheirSessionsWhenThePasswordIsReset) {
  const Person lina = world.Somebody("lina", Role::kUser);
  const auto reset =
      world.SendForJson(Ask("POST", "/v1/users/usr_lina/reset-password").As(ada), 200);
  world.SendForJson(Ask("GET", "/v1/me").As(lina), 401);
  world.SendForJson(SignInAs("lina", testing::kPassword), 401);
  (void)world.SignIn("lina", reset["one_time_password"].get<std::string>());
}

TEST_F(Users, KeepTheLastAdmin) {
  const auto self = world.Read<User>("usr_ada");
  const Ask ask = Ask("PATCH", "/v1/users/usr_ada").As(ada).Match(self.version);
  for (const Json& body : {Json{{"disabled", true}}, Json{{"role", "operator"}}}) {
    EXPECT_EQ(world.SendForJson(Ask(ask).Json(body), 409)["code"], "state_conflict");
  }
  world.SendForJson(Ask("DELETE", "/v1/users/usr_ada").As(ada).Match(self.version), 409);
  world.AddUser("ben", Role::kAdmin);
  world.SendForJson(Ask(ask).Json({{"role", "operator"}}), 200);
}

TEST_F(Users, AreChangedOnlyAtTheVersionThatWasRead) {
  const auto lina = world.AddUser("lina", Role::kUser);
  const Ask without = Ask("PATCH", "/v1/users/usr_lina").As(ada).Json({{"role", "operator"}});
  EXPECT_EQ(world.SendForJson(without, 428)["code"], "precondition_required");
  EXPECT_EQ(world.SendForJson(Ask(without).Match(lina.version - 1), 412)["code"], "stale_version");
  world.SendForJson(Ask(without).Header("If-Match", "*"), 400);
  const auto changed = world.SendForJson(Ask(without).Match(lina.version), 200);
  EXPECT_EQ(changed["role"], "operator");
  EXPECT_GT(changed["resource_version"], lina.version);
}

TEST_F(Users, CannotBeRemovedWhileTheyHaveDesktops) {
  const auto lina = world.AddUser("lina", Role::kUser);
  (void)world.AddDesktop(lina.value.id, "work", DesktopState::kStopped);
  world.SendForJson(Ask("DELETE", "/v1/users/usr_lina").As(ada).Match(lina.version), 409);
}

TEST_F(Users, AreRemovedWithTheirTokensAndSessions) {
  const Person lina = world.Somebody("lina", Role::kUser);
  const Json body = {{"name", "ci"}, {"scopes", {"desktops:read"}}, {"expires_in_s", 3600}};
  (void)world.SendForJson(Ask("POST", "/v1/me/tokens").As(lina).Json(body).Key("k"), 201);
  const auto user = world.Read<User>("usr_lina");
  EXPECT_EQ(world.Send(Ask("DELETE", "/v1/users/usr_lina").As(ada).Match(user.version)).status,
            204);
  EXPECT_TRUE(world.store->List(store::Kind::kToken, "", 0)->objects.empty());
  world.SendForJson(Ask("GET", "/v1/me").As(lina), 401);
}

TEST_F(Users, LeaveTheLocalAdminAlone) {
  const auto users = world.SendForJson(Ask("GET", "/v1/users").As(ada), 200)["items"];
  for (const Json& user : users) {
    if (user["name"] != "local-admin") continue;
    const std::string path = "/v1/users/" + user["id"].get<std::string>();
    world.SendForJson(
        Ask("PATCH", path).As(ada).Match(user["resource_version"]).Json({{"disabled", true}}), 409);
    world.SendForJson(Ask("POST", path + "/reset-password").As(ada), 409);
  }
}

}  // namespace
}  // namespace sluice::portal
