// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <gtest/gtest.h>

#include "portal/internal/testing/world.h"

namespace sluice::portal {
namespace {

using testing::Ask;
using testing::Person;
using testing::World;
using Json = nlohmann::json;

constexpr int64_t kGiBs = int64_t{1} << 30;

class Teams : public ::testing::Test {
 protected:
  Json Create(const Json& body, int status = 201) {
    return world.SendForJson(Ask("POST", "/v1/teams").As(ada).Json(body).Key(NewKey()), status);
  }
  Json Patch(const Json& team, const Json& body, int status = 200) {
    const std::string path = "/v1/teams/" + team["id"].get<std::string>();
    const auto version = team["resource_version"].get<uint64_t>();
    return world.SendForJson(Ask("PATCH", path).As(ada).Json(body).Match(version), status);
  }
  std::string NewKey() { return "key" + std::to_string(++keys_); }
  // Puts somebody into a team, or into none.
  Json Join(const std::string& name, const Json& team_id, int status = 200) {
    const Json users = world.SendForJson(Ask("GET", "/v1/users").As(ada), 200);
    const Json& user = *std::ranges::find(
        users["items"], name, [](const Json& one) { return one["name"].get<std::string>(); });
    const std::string path = "/v1/users/" + user["id"].get<std::string>();
    const auto version = user["resource_version"].get<uint64_t>();
    return world.SendForJson(Ask("PATCH", path).As(ada).Json({{"team_id", team_id}}).Match(version),
                             status);
  }

  World world;
  Person ada = world.Somebody("ada", Role::kAdmin);
  Person lina = world.Somebody("lina", Role::kUser);

 private:
  int keys_ = 0;
};

TEST_F(Teams, AreMadeChangedAndDeletedByAdmins) {
  Json team = Create({{"name", "Perception"}, {"memory_guaranteed_bytes", 24 * kGiBs}});
  EXPECT_EQ(team["memory_guaranteed_bytes"], 24 * kGiBs);
  EXPECT_EQ(team["memory_max_bytes"], 0);
  EXPECT_EQ(team["members"], 0);
  team = Patch(team, {{"memory_max_bytes", 48 * kGiBs}});
  EXPECT_EQ(team["memory_guaranteed_bytes"], 24 * kGiBs);
  EXPECT_EQ(world.AuditRows().back().detail, "Perception: 24 GiB guaranteed, at most 48 GiB");
  const Json page = world.SendForJson(Ask("GET", "/v1/teams").As(ada), 200);
  ASSERT_EQ(page["items"].size(), 1U);
  EXPECT_EQ(page["items"][0], team);
  const std::string path = "/v1/teams/" + team["id"].get<std::string>();
  const auto version = team["resource_version"].get<uint64_t>();
  EXPECT_EQ(world.Send(Ask("DELETE", path).As(ada).Match(version)).status, 204);
  world.SendForJson(Ask("GET", path).As(ada), 404);
}

TEST_F(Teams, AreNotForUsers) {
  world.SendForJson(Ask("GET", "/v1/teams").As(lina), 403);
  world.SendForJson(Ask("POST", "/v1/teams").As(lina).Json({{"name", "x"}}).Key("k"), 403);
}

TEST_F(Teams, HaveNamesOfTheirOwnAndALimitNotBelowTheGuarantee) {
  const Json team = Create({{"name", "Perception"}});
  EXPECT_EQ(Create({{"name", "Perception"}}, 409)["errors"][0]["pointer"], "/name");
  EXPECT_EQ(Patch(team, {{"name", "Perception"}})["name"], "Perception");
  const Json wrong =
      Create({{"name", "B"}, {"memory_guaranteed_bytes", 2}, {"memory_max_bytes", 1}}, 422);
  EXPECT_EQ(wrong["errors"][0]["pointer"], "/memory_max_bytes");
  Create({{"name", "B"}, {"color", "red"}}, 422);
  Create(Json::object(), 422);
  Patch(team, Json::object(), 422);
  // What is wrong in itself is said before what is out of date.
  Json old = team;
  old["resource_version"] = 1;
  Patch(old, {{"color", "red"}}, 422);
  Patch(old, {{"name", "C"}}, 412);
}

TEST_F(Teams, HaveMembersAndStayWhileTheyDo) {
  const Json team = Create({{"name", "Perception"}});
  EXPECT_EQ(Join("lina", team["id"])["team_id"], team["id"]);
  const std::string path = "/v1/teams/" + team["id"].get<std::string>();
  EXPECT_EQ(world.SendForJson(Ask("GET", path).As(ada), 200)["members"], 1);
  const auto version = team["resource_version"].get<uint64_t>();
  world.SendForJson(Ask("DELETE", path).As(ada).Match(version), 409);
  EXPECT_EQ(Join("lina", nullptr)["team_id"], nullptr);
  EXPECT_EQ(world.Send(Ask("DELETE", path).As(ada).Match(version)).status, 204);
  EXPECT_EQ(Join("lina", "tem_none", 422)["errors"][0]["pointer"], "/team_id");
}

TEST_F(Teams, ShowWhatTheyHold) {
  const Json team = Create({{"name", "Perception"}});
  Claim claim;
  claim.id = ClaimId("clm_1");
  claim.team = TeamId(team["id"].get<std::string>());
  claim.phase = ClaimPhase::kCommitted;
  claim.allocations = {{.gpu = GpuId("GPU-1"), .memory = GiB(6)}};
  world.Put(store::Put(claim, 0));
  const Json page = world.SendForJson(Ask("GET", "/v1/teams").As(ada), 200);
  EXPECT_EQ(page["items"][0]["memory_held_bytes"], 6 * kGiBs);
}

}  // namespace
}  // namespace sluice::portal
