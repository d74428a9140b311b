// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "portal/internal/testing/world.h"

namespace sluice::portal {
namespace {

using testing::Ask;
using testing::Person;
using testing::World;
using Json = nlohmann::json;

class Pools : public ::testing::Test {
 protected:
  void SetUp() override {
    Pool pool;
    pool.id = PoolId("shared");
    pool.name = "Shared cards";
    ASSERT_TRUE(world.store->Commit(std::vector{store::Put(pool, 0)}));
  }
  Json Get(const Person& person) {
    return world.SendForJson(Ask("GET", "/v1/pools/shared").As(person), 200);
  }
  Json Patch(const Person& person, const Json& body, int status) {
    const auto version = Get(person)["resource_version"].get<uint64_t>();
    return world.SendForJson(Ask("PATCH", "/v1/pools/shared").As(person).Json(body).Match(version),
                             status);
  }

  World world;
  Person ada = world.Somebody("ada", Role::kAdmin);
  Person omar = world.Somebody("omar", Role::kOperator);
  Person lina = world.Somebody("lina", Role::kUser);
};

TEST_F(Pools, AreShownToEverybody) {
  const Json page = world.SendForJson(Ask("GET", "/v1/pools").As(lina), 200);
  ASSERT_EQ(page["items"].size(), 1U);
  EXPECT_EQ(page["items"][0], Get(lina));
  EXPECT_EQ(page["items"][0]["bypass_rule"], "warn");
  EXPECT_EQ(page["items"][0]["strict_priority"], false);
  world.SendForJson(Ask("GET", "/v1/pools/none").As(lina), 404);
}

TEST_F(Pools, AreChangedByAdminsAlone) {
  const Json body = {{"bypass_rule", "end"}};
  Patch(lina, body, 403);
  Patch(omar, body, 403);
  EXPECT_EQ(Patch(ada, body, 200)["bypass_rule"], "end");
  EXPECT_EQ(world.Read<Pool>("shared").value.bypass_rule, BypassRule::kEnd);
  EXPECT_EQ(world.AuditRows().back().action, "pool.update");
  EXPECT_EQ(world.AuditRows().back().detail, "Rule for what goes round the ledger: end.");
}

TEST_F(Pools, KeepWhatIsNotNamed) {
  Patch(ada, {{"bypass_slack_bytes", 2'000'000'000}}, 200);
  const Json pool = Patch(ada, {{"strict_priority", true}}, 200);
  EXPECT_EQ(pool["bypass_slack_bytes"], 2'000'000'000);
  EXPECT_EQ(pool["strict_priority"], true);
  EXPECT_EQ(pool["bypass_rule"], "warn");
}

TEST_F(Pools, RefuseWhatMakesNoSense) {
  Patch(ada, Json::object(), 422);
  Patch(ada, {{"bypass_rule", "shoot"}}, 422);
  Patch(ada, {{"bypass_slack_bytes", -1}}, 422);
  Patch(ada, {{"color", "red"}}, 422);
  world.SendForJson(
      Ask("PATCH", "/v1/pools/shared").As(ada).Json({{"bypass_rule", "end"}}).Match(1), 412);
  world.SendForJson(Ask("PATCH", "/v1/pools/shared").As(ada).Json({{"bypass_rule", "end"}}), 428);
}

}  // namespace
}  // namespace sluice::portal
