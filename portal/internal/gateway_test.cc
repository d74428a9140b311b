// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/gateway.h"

#include <gtest/gtest.h>

#include "portal/internal/testing/world.h"

namespace sluice::portal {
namespace {

using testing::Ask;
using testing::DesktopBody;
using testing::Person;
using testing::World;
using Json = nlohmann::json;

TEST(Gateway, AnswersAnUnknownPathWithAProblem) {
  World world;
  const auto response = world.Send(Ask("GET", "/v1/nothing"));
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.headers.Get("Content-Type"), "application/problem+json");
  const Json problem = Json::parse(response.body);
  EXPECT_EQ(problem["code"], "not_found");
  EXPECT_EQ(problem["type"], "https://sluice.dev/problems/not_found");
  EXPECT_EQ(problem["request_id"], std::string(response.headers.Get("X-Request-Id")));
  EXPECT_EQ(problem["instance"], "/v1/nothing");
}

TEST(Gateway, NamesTheAllowedMethods) {
  World world;
  const auto response = world.Send(Ask("PUT", "/v1/me"));
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers.Get("Allow"), "GET, PATCH");
}

TEST(Gateway, WantsASignIn) {
  World world;
  EXPECT_EQ(world.SendForJson(Ask("GET", "/v1/desktops"), 401)["code"], "unauthenticated");
  const Person stranger{"AAAA", "x"};
  world.SendForJson(Ask("GET", "/v1/desktops").As(stranger), 401);
}

TEST(Gateway, RefusesAWrongAuthorizationBesideAGoodCookie) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  world.SendForJson(Ask("GET", "/v1/me").As(lina).Bearer("slc_nothing"), 401);
  world.SendForJson(Ask("GET", "/v1/me").As(lina).Header("Authorization", "Basic eDp5"), 401);
}

TEST(Gateway, WantsTheRole) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  const Person omar = world.Somebody("omar", Role::kOperator);
  const Person ada = world.Somebody("ada", Role::kAdmin);
  EXPECT_EQ(world.SendForJson(Ask("GET", "/v1/users").As(lina), 403)["code"], "forbidden");
  world.SendForJson(Ask("GET", "/v1/users").As(omar), 403);
  world.SendForJson(Ask("GET", "/v1/users").As(ada), 200);
  world.SendForJson(Ask("GET", "/v1/audit-events").As(lina), 403);
  world.SendForJson(Ask("GET", "/v1/audit-events").As(omar), 200);
}

TEST(Gateway, WantsTheCsrfTokenOnUnsafeMethods) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  const Json patch = {{"display_name", "Li Na"}};
  for (const std::string& token : {std::string(), std::string("wrong"), lina.csrf + "0"}) {
    const auto problem =
        world.SendForJson(Ask("PATCH", "/v1/me").As({lina.cookie, token}).Json(patch), 403);
    EXPECT_EQ(problem["code"], "csrf");
  }
  const auto me = world.SendForJson(Ask("PATCH", "/v1/me").As(lina).Json(patch), 200);
  EXPECT_EQ(me["user"]["display_name"], "Li Na");
}

TEST(Gateway, RefusesAnotherSessionsCsrfToken) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  const Person omar = world.Somebody("omar", Role::kUser);
  world.SendForJson(Ask("PATCH", "/v1/me").As({lina.cookie, omar.csrf}).Json({}), 403);
}

TEST(Gateway, RefusesForeignOriginsAlsoAtSignIn) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  const Json body = {{"name", "lina"}, {"password", testing::kPassword}};
  for (const char* origin : {"https://evil.test",
                             "null",
                             "https://portal.test:8443",
                             "http://portal.test:8443.evil.test",
                             "http://portal.test"}) {
    EXPECT_EQ(world.SendForJson(Ask("POST", "/v1/sessions").Json(body).Header("Origin", origin),
                                403)["code"],
              "foreign_origin")
        << origin;
    world.SendForJson(Ask("PATCH", "/v1/me").As(lina).Json(Json::object()).Header("Origin", origin),
                      403);
  }
  world.SendForJson(Ask("POST", "/v1/sessions").Json(body).Header("Sec-Fetch-Site", "cross-site"),
                    403);
  world.SendForJson(
      Ask("POST", "/v1/sessions").Json(body).Header("Origin", "http://portal.test:8443"), 201);
}

TEST(Gateway, WantsJson) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  for (const char* type : {"text/plain", "application/x-www-form-urlencoded", ""}) {
    const auto problem = world.SendForJson(
        Ask("PATCH", "/v1/me").As(lina).Body("{}").Header("Content-Type", type), 415);
    EXPECT_EQ(problem["code"], "unsupported_media_type");
  }
  world.SendForJson(Ask("PATCH", "/v1/me")
                        .As(lina)
                        .Body("{}")
                        .Header("Content-Type", "Application/JSON; charset=utf-8"),
                    200);
}

TEST(Gateway, RefusesUnknownAndRepeatedQueryParameters) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  const auto problem = world.SendForJson(Ask("GET", "/v1/desktops?ower=all").As(lina), 400);
  EXPECT_EQ(problem["errors"][0]["pointer"], "?ower");
  world.SendForJson(Ask("GET", "/v1/desktops?limit=1&limit=2").As(lina), 400);
  for (const char* limit : {"0", "201", "x", "-1", "", "1e2", "99999999999999999999"}) {
    world.SendForJson(Ask("GET", std::string("/v1/desktops?limit=") + limit).As(lina), 400);
  }
}

TEST(Gateway, LimitsHowOftenThingsAreMade) {
  World world;
  const Person lina = world.Somebody("lina", Role::kUser);
  net::Response response;
  int tries = 0;
  do {
    response =
        world.Send(Ask("POST", "/v1/desktops").As(lina).Json({}).Key(std::to_string(++tries)));
  } while (response.status != 429 && tries < 1'000);
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(tries, world.app.options.limits.creates_burst + 1);
  EXPECT_EQ(response.headers.Get("Retry-After"), "1");
  world.clock.Advance(Duration(1'000));
  EXPECT_NE(world.Send(Ask("POST", "/v1/desktops").As(lina).Json({}).Key("later")).status, 429);
}

TEST(Gateway, SendsHeadersThatProtectTheBrowser) {
  World world;
  const auto response = world.Send(Ask("GET", "/healthz").OverTls());
  EXPECT_EQ(response.headers.Get("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(response.headers.Get("Cache-Control"), "no-store");
  EXPECT_EQ(response.headers.Get("Referrer-Policy"), "no-referrer");
  EXPECT_NE(response.headers.Get("Content-Security-Policy").find("frame-ancestors 'none'"),
            std::string_view::npos);
  EXPECT_TRUE(response.headers.Has("Strict-Transport-Security"));
}

TEST(LocalSocket, ActsAsTheLocalAdminForRootAndTheOwner) {
  World world;
  for (const uint32_t uid : {0U, 1'000U}) {
    const auto me = world.SendForJson(Ask("GET", "/v1/me").OverLocalSocket(uid), 200);
    EXPECT_EQ(me["user"]["name"], "local-admin");
    EXPECT_EQ(me["user"]["role"], "admin");
  }
  world.SendForJson(Ask("GET", "/v1/me").OverLocalSocket(1'001), 401);
}

class IdempotencyTest : public ::testing::Test {
 protected:
  void SetUp() override { world.AddCard("GPU-1"); }
  World world;
  Person lina = world.Somebody("lina", Role::kUser);
};

TEST_F(IdempotencyTest, WantsAKey) {
  const Ask ask = Ask("POST", "/v1/desktops").As(lina).Json(DesktopBody());
  EXPECT_EQ(world.SendForJson(ask, 400)["code"], "idempotency_key_required");
  for (const std::string& key : {std::string("with space"), std::string(129, 'k')}) {
    world.SendForJson(Ask("POST", "/v1/desktops").As(lina).Json(DesktopBody()).Key(key), 400);
  }
}

TEST_F(IdempotencyTest, ReplaysTheSameAnswer) {
  const Ask ask = Ask("POST", "/v1/desktops").As(lina).Json(DesktopBody()).Key("k1");
  const auto first = world.Send(ask);
  const auto second = world.Send(ask);
  ASSERT_EQ(first.status, 202) << first.body;
  EXPECT_EQ(second.status, 202);
  EXPECT_EQ(second.body, first.body);
  EXPECT_EQ(second.headers.Get("Location"), first.headers.Get("Location"));
  EXPECT_EQ(second.headers.Get("ETag"), first.headers.Get("ETag"));
  EXPECT_EQ(second.headers.Get("Idempotency-Replayed"), "true");
  EXPECT_FALSE(first.headers.Has("Idempotency-Replayed"));
  EXPECT_EQ(world.SendForJson(Ask("GET", "/v1/desktops").As(lina), 200)["items"].size(), 1U);
}

TEST_F(IdempotencyTest, RefusesTheKeyForAnotherBody) {
  (void)world.Send(Ask("POST", "/v1/desktops").As(lina).Json(DesktopBody("a")).Key("k1"));
  const auto problem =
      world.SendForJson(Ask("POST", "/v1/desktops").As(lina).Json(DesktopBody("b")).Key("k1"), 422);
  EXPECT_EQ(problem["code"], "idempotency_mismatch");
}

TEST_F(IdempotencyTest, KeepsKeysOfDifferentPeopleApart) {
  const Person omar = world.Somebody("omar", Role::kUser);
  const auto first = world.Send(Ask("POST", "/v1/desktops").As(lina).Json(DesktopBody()).Key("k"));
  const auto other = world.Send(Ask("POST", "/v1/desktops").As(omar).Json(DesktopBody()).Key("k"));
  EXPECT_EQ(other.status, 202);
  EXPECT_NE(first.headers.Get("Location"), other.headers.Get("Location"));
}

TEST_F(IdempotencyTest, LetsAFailedRequestBeSentAgain) {
  Json wrong = DesktopBody();
  wrong["template_id"] = "none";
  world.SendForJson(Ask("POST", "/v1/desktops").As(lina).Json(wrong).Key("k"), 422);
  world.SendForJson(Ask("POST", "/v1/desktops").As(lina).Json(DesktopBody()).Key("k"), 202);
}

TEST_F(IdempotencyTest, ForgetsAfterADay) {
  const Ask ask = Ask("POST", "/v1/desktops").As(lina).Json(DesktopBody()).Key("k1");
  const auto first = world.Send(ask);
  world.clock.Advance(std::chrono::hours(24));
  world.app.replays.Sweep();
  EXPECT_TRUE(world.store->List(store::Kind::kIdempotency, "", 0)->objects.empty());
  const Person again = world.SignIn("lina");
  const auto second =
      world.Send(Ask("POST", "/v1/desktops").As(again).Json(DesktopBody()).Key("k1"));
  EXPECT_EQ(second.status, 202);
  EXPECT_NE(second.headers.Get("Location"), first.headers.Get("Location"));
}

TEST_F(IdempotencyTest, DoesNotRepeatAChangeThatWasCutOffBeforeItsAnswer) {
  const Ask ask = Ask("POST", "/v1/desktops").As(lina).Json(DesktopBody()).Key("k1");
  const ReplayKey key = Replays::KeyFor("usr_lina", ask.request());
  world.Put(world.app.replays.Pending(key, "dsk_lost"));
  const auto problem = world.SendForJson(ask, 409);
  EXPECT_EQ(problem["code"], "state_conflict");
  EXPECT_NE(problem["detail"].get<std::string>().find("dsk_lost"), std::string::npos);
}

}  // namespace
}  // namespace sluice::portal
