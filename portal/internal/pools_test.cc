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
  EXPECT_EQ(world.AuditRows().back().detail, "Rule for what goes round the ledger: end, was warn.");
}

TEST_F(Pools, KeepWhatIsNotNamed) {
  Patch(ada, {{"bypass_slack_bytes", 2'000'000'000}}, 200);
  const Json pool = Patch(ada, {{"strict_priority", true}}, 200);
  EXPECT_EQ(pool["bypass_slack_bytes"], 2'000'000'000);
  EXPECT_EQ(pool["strict_priority"], true);
  EXPECT_EQ(pool["bypass_rule"], "warn");
}

TEST_F(Pools, SayHowCardsAreChosen) {
  world.control.placement = {.in_force = PlacementPolicy::kTightestCard, .note = "12 of 50"};
  const Json pool = Patch(ada, {{"placement", "sluice"}, {"compute_overcommit_percent", 150}}, 200);
  EXPECT_EQ(pool["placement"], "sluice");
  EXPECT_EQ(pool["placement_in_force"], "tightest_card");
  EXPECT_EQ(pool["placement_note"], "12 of 50");
  EXPECT_EQ(world.Read<Pool>("shared").value.compute_overcommit_percent, 150);
  EXPECT_EQ(
      world.AuditRows().back().detail,
      "Policy: sluice, was tightest_card. Guarantees add up to, in % of a card: 150, was 100.");
  Patch(ada, {{"placement", "luck"}}, 422);
  Patch(ada, {{"compute_overcommit_percent", 99}}, 422);
  Patch(ada, {{"share_min_bytes", 1}}, 422);
}

TEST_F(Pools, TellTheFormerValuesOfTheLastChangeAlone) {
  EXPECT_TRUE(Get(lina)["last_change"].is_null());
  Patch(ada, {{"placement", "fgd"}}, 200);
  const Json pool = Patch(ada, {{"placement", "packing"}, {"strict_priority", true}}, 200);
  EXPECT_EQ(pool["last_change"]["by"], "ada");
  const Json former{{"placement", "fgd"}, {"strict_priority", false}};
  EXPECT_EQ(pool["last_change"]["former"], former);
  EXPECT_EQ(Get(lina)["last_change"], pool["last_change"]);
  const Json undone = Patch(ada, former, 200);
  EXPECT_EQ(undone["placement"], "fgd");
  EXPECT_EQ(undone["strict_priority"], false);
  // Somebody who writes the row past the API leaves nothing to undo.
  auto row = world.Read<Pool>("shared");
  row.value.name = "Cards";
  world.Put(store::Put(row.value, row.version));
  EXPECT_TRUE(Get(lina)["last_change"].is_null());
}

TEST_F(Pools, HaveAFloorAndACeiling) {
  EXPECT_EQ(Get(lina)["floor_cards"], 0);
  EXPECT_EQ(Get(lina)["ceiling_cards"], 0);
  for (const char* id : {"GPU-a", "GPU-b", "GPU-c"}) {
    Gpu gpu;
    gpu.id = GpuId(id);
    gpu.pool = PoolId("shared");
    gpu.memory = GiB(24);
    if (gpu.id.text() == "GPU-a") gpu.shares = {{.claim = ClaimId("clm_1"), .memory = GiB(4)}};
    if (gpu.id.text() == "GPU-b") {
      gpu.shares = {{.claim = ClaimId("clm_2"), .memory = GiB(24), .whole = true}};
    }
    world.Put(store::Put(gpu, 0));
  }
  const Json pool = Patch(ada, {{"floor_cards", 1}, {"ceiling_cards", 2}}, 200);
  EXPECT_EQ(pool["floor_cards"], 1);
  EXPECT_EQ(pool["ceiling_cards"], 2);
  const Json use{
      {"total", 3}, {"in_service", 3}, {"with_shares", 1}, {"whole", 1}, {"left_to_shares", 2}};
  EXPECT_EQ(pool["cards"], use);
  EXPECT_EQ(world.Read<Pool>("shared").value.floor_cards, 1);
  EXPECT_EQ(world.AuditRows().back().detail,
            "Cards left to shares: 1, was none. Cards that may carry shares: 2, was none.");
  const Json former{{"floor_cards", 0}, {"ceiling_cards", 0}};
  EXPECT_EQ(pool["last_change"]["former"], former);
  EXPECT_EQ(Patch(ada, former, 200)["floor_cards"], 0);
}

TEST_F(Pools, RefuseBoundsThatCannotBeKept) {
  const auto reject = [&](const Json& body) {
    const Json problem = Patch(ada, body, 422);
    return problem["errors"][0]["pointer"].get<std::string>() + ": " +
           problem["errors"][0]["detail"].get<std::string>();
  };
  EXPECT_EQ(reject({{"floor_cards", 1}}),
            "/floor_cards: The pool has no card: name no more, or 0 for none.");
  for (const char* id : {"GPU-a", "GPU-b", "GPU-c"}) {
    Gpu gpu;
    gpu.id = GpuId(id);
    gpu.pool = PoolId("shared");
    world.Put(store::Put(gpu, 0));
  }
  EXPECT_EQ(reject({{"ceiling_cards", 4}}),
            "/ceiling_cards: The pool has 3 cards: name no more, or 0 for none.");
  Patch(ada, {{"ceiling_cards", 2}}, 200);
  EXPECT_EQ(reject({{"floor_cards", 3}}),
            "/floor_cards: At most 2 cards may carry shares, so no more can be left to them: name "
            "no more, or raise ceiling_cards.");
  Patch(ada, {{"floor_cards", 2}}, 200);
  EXPECT_EQ(reject({{"ceiling_cards", 1}}),
            "/ceiling_cards: 2 cards are left to shares, so as many must be allowed to carry them: "
            "name no fewer, 0 for none, or lower floor_cards.");
  Patch(ada, {{"floor_cards", -1}}, 422);
  Patch(ada, {{"floor_cards", "2"}}, 422);
  Patch(ada, {{"ceiling_cards", 65'536}}, 422);
}

TEST_F(Pools, TryAChangeWithoutMakingIt) {
  const Desktop desktop =
      world.AddDesktop(world.AddUser("omid", Role::kUser).value.id, "small", DesktopState::kReady);
  world.control.pool_trial = {.effects = {{.kind = control::PoolEffect::Kind::kBelowSmallest,
                                           .claim = desktop.claim,
                                           .desktop = desktop.id,
                                           .detail = "1 GiB is below the smallest share"}},
                              .largest_free_before = Bytes(7),
                              .largest_free_after = Bytes(9)};
  const Ask ask = Ask("POST", "/v1/pools/shared/dry-run").Json({{"share_min_bytes", 2LL << 30}});
  world.SendForJson(Ask(ask).As(omar), 403);
  const Json trial = world.SendForJson(Ask(ask).As(ada), 200);
  EXPECT_EQ(world.control.tried_pool.share_memory_min, Bytes(2LL << 30));
  ASSERT_EQ(trial["effects"].size(), 1U);
  EXPECT_EQ(trial["effects"][0]["effect"], "below_smallest");
  EXPECT_EQ(trial["effects"][0]["name"], "small");
  EXPECT_EQ(trial["effects"][0]["owner"], "omid");
  EXPECT_EQ(trial["largest_free_after_bytes"], 9);
  EXPECT_NE(Get(ada)["share_min_bytes"], 2LL << 30);
  world.SendForJson(Ask("POST", "/v1/pools/shared/dry-run").As(ada).Json({{"color", 1}}), 422);
  world.SendForJson(Ask("POST", "/v1/pools/none/dry-run").As(ada).Json({{"placement", "fgd"}}),
                    404);
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
