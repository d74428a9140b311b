// SPDX-License-Identifier: Apache-2.0
// What is reserved, and whole cards by moves.
#include <gtest/gtest.h>

#include "portal/internal/request_fields.h"
#include "portal/internal/testing/world.h"

namespace sluice::portal {
namespace {

using testing::Ask;
using testing::Person;
using testing::World;
using Json = nlohmann::json;

class Reservations : public ::testing::Test {
 protected:
  Json Send(const std::string& method, const std::string& path, const Json& body, int status) {
    Ask ask(method, path);
    ask.As(ada).Key("key" + std::to_string(++keys_));
    if (!body.is_null()) ask.Json(body);
    return world.SendForJson(ask, status);
  }
  std::string TeamId() {
    return Send("POST", "/v1/teams", {{"name", "course"}}, 201)["id"].get<std::string>();
  }
  static Json Wish(const std::string& team) {
    return {{"name", "Deep learning, winter"},
            {"team_id", team},
            {"count", 2},
            {"memory_bytes", 0},
            {"starts_at", "2100-01-01T09:00:00Z"},
            {"ends_at", "2100-01-01T19:00:00+08:00"}};
  }

  World world;
  Person ada = world.Somebody("ada", Role::kAdmin);
  Person lina = world.Somebody("lina", Role::kUser);

 private:
  int keys_ = 0;
};

TEST_F(Reservations, AreMadeShownAndDeleted) {
  const std::string team = TeamId();
  const Json made = Send("POST", "/v1/reservations", Wish(team), 201);
  EXPECT_EQ(made["team"], "course");
  EXPECT_EQ(made["pool_id"], nullptr);
  EXPECT_EQ(made["room"], 2);
  EXPECT_EQ(made["ends_at"], "2100-01-01T11:00:00.000Z");
  EXPECT_EQ(world.AuditRows().back().action, "reservation.create");
  const std::string path = "/v1/reservations/" + made["id"].get<std::string>();
  EXPECT_EQ(Send("GET", "/v1/reservations", nullptr, 200)["items"], Json::array({made}));
  EXPECT_EQ(Send("GET", path, nullptr, 200), made);
  const auto version = made["resource_version"].get<uint64_t>();
  EXPECT_EQ(world.Send(Ask("DELETE", path).As(ada).Match(version)).status, 204);
  EXPECT_EQ(world.AuditRows().back().action, "reservation.delete");
  EXPECT_EQ(world.Send(Ask("GET", path).As(ada)).status, 404);
}

TEST_F(Reservations, RefuseWhatCannotBe) {
  const std::string team = TeamId();
  const auto refused = [&](const char* member, const Json& value) {
    Json wish = Wish(team);
    wish[member] = value;
    return Send("POST", "/v1/reservations", wish, 422)["errors"][0]["pointer"].get<std::string>();
  };
  EXPECT_EQ(refused("team_id", "tem_none"), "/team_id");
  EXPECT_EQ(refused("pool_id", "none"), "/pool_id");
  EXPECT_EQ(refused("count", 0), "/count");
  EXPECT_EQ(refused("starts_at", "tomorrow"), "/starts_at");
  EXPECT_EQ(refused("ends_at", "2100-01-01T09:00:00Z"), "/ends_at");
  EXPECT_EQ(refused("starts_at", "2100-01-01T12:00:00Z"), "/ends_at");
  EXPECT_EQ(refused("colour", "red"), "/colour");
}

TEST_F(Reservations, AreTriedWithoutBeingMade) {
  const std::string team = TeamId();
  world.AddCard("GPU-1");
  const Desktop held = world.AddDesktop(UserId("usr_1"), "Training", DesktopState::kReady);
  auto claim = world.Read<Claim>(held.claim.text());
  claim.value.allocations = {{.gpu = GpuId("GPU-1"), .memory = 8_GiB}};
  const auto put = [&] {
    world.Put(store::Put(claim.value, claim.version));
    claim = world.Read<Claim>(held.claim.text());
  };
  put();
  world.control.room_max = 1;
  const Json said = Send("POST", "/v1/reservation-trials", Wish(team), 200);
  EXPECT_EQ(said["room"], 1);
  EXPECT_EQ(said["cards"], 1);
  ASSERT_EQ(said["holders"].size(), 1u);
  EXPECT_EQ(said["holders"][0]["name"], "Training");
  EXPECT_EQ(said["holders"][0]["gpu_id"], "GPU-1");
  EXPECT_EQ(said["holders"][0]["ends_at"], nullptr);
  EXPECT_EQ(Send("GET", "/v1/reservations", nullptr, 200)["items"], Json::array());

  // Due before it starts, or the team's own.
  claim.value.ends_at = *ParseRfc3339("2100-01-01T09:00:00Z");
  put();
  EXPECT_EQ(Send("POST", "/v1/reservation-trials", Wish(team), 200)["holders"], Json::array());
  claim.value.ends_at = TimePoint{};
  claim.value.team = sluice::TeamId(team);
  put();
  EXPECT_EQ(Send("POST", "/v1/reservation-trials", Wish(team), 200)["holders"], Json::array());

  Json other = Wish(team);
  other["model"] = "NVIDIA L4";
  EXPECT_EQ(Send("POST", "/v1/reservation-trials", other, 200)["cards"], 0);
  other["count"] = 0;
  EXPECT_EQ(Send("POST", "/v1/reservation-trials", other, 422)["errors"][0]["pointer"], "/count");
}

TEST_F(Reservations, AreForAdmins) {
  EXPECT_EQ(world.Send(Ask("GET", "/v1/reservations").As(lina)).status, 403);
  for (const char* path : {"/v1/reservations", "/v1/reservation-trials"}) {
    EXPECT_EQ(world.Send(Ask("POST", path).As(lina).Json(Wish("t")).Key("k")).status, 403);
  }
}

TEST_F(Reservations, ConsolidationSaysWhoMovesWhere) {
  control::ConsolidationPlan plan;
  plan.moves = {{.claim = ClaimId("clm_1"),
                 .desktop = DesktopId("dsk_1"),
                 .desktop_name = "one",
                 .user = UserId("usr_gone"),
                 .from = {{.gpu = GpuId("GPU-1"), .memory = 4_GiB}},
                 .to = {{.gpu = GpuId("GPU-2"), .memory = 4_GiB}}}};
  plan.freed = {GpuId("GPU-1")};
  plan.people = 1;
  plan.memory = 4_GiB;
  world.control.consolidation = plan;
  const Json body = {{"people_max", 3}, {"apply", false}};
  const Json said = Send("POST", "/v1/pools/shared/consolidation", body, 200);
  EXPECT_EQ(world.control.consolidation_wish.people_max, 3);
  EXPECT_EQ(said["moves"][0]["from_gpu_ids"], Json::array({"GPU-1"}));
  EXPECT_EQ(said["moves"][0]["memory_bytes"], int64_t{4} << 30);
  EXPECT_EQ(said["freed_gpu_ids"], Json::array({"GPU-1"}));
  EXPECT_EQ(said["at"], nullptr);
  EXPECT_NE(world.AuditRows().back().action, "pool.consolidate");
  Send("POST", "/v1/pools/shared/consolidation", {{"people_max", 3}, {"apply", true}}, 200);
  EXPECT_EQ(world.AuditRows().back().action, "pool.consolidate");
  Send("POST", "/v1/pools/shared/undo-consolidation", nullptr, 200);
  EXPECT_EQ(world.AuditRows().back().action, "pool.consolidation_undo");
  world.control.consolidation = Fail(Code::kFailedPrecondition, "There is nothing to take back.");
  EXPECT_EQ(Send("POST", "/v1/pools/shared/undo-consolidation", nullptr, 409)["detail"],
            "There is nothing to take back.");
  EXPECT_EQ(world.Send(Ask("POST", "/v1/pools/shared/consolidation").As(lina).Json(body)).status,
            403);
}

TEST_F(Reservations, ConsolidationSaysHowItsMovesStand) {
  const std::string path = "/v1/pools/shared/consolidation";
  EXPECT_EQ(Send("GET", path, nullptr, 200), Json({{"moves", Json::array()}, {"can_undo", false}}));
  control::MoveNow coming;
  coming.move = {.claim = ClaimId("clm_1"),
                 .desktop = DesktopId("dsk_1"),
                 .desktop_name = "one",
                 .user = UserId("usr_gone"),
                 .from = {{.gpu = GpuId("GPU-1"), .memory = 4_GiB}},
                 .to = {{.gpu = GpuId("GPU-2"), .memory = 4_GiB}}};
  coming.back = true;
  coming.at = *ParseRfc3339("2100-01-01T09:00:00Z");
  world.control.moves_now = std::vector{coming};
  const Json back = Send("GET", path, nullptr, 200);
  EXPECT_EQ(back["moves"][0]["to_gpu_ids"], Json::array({"GPU-2"}));
  EXPECT_EQ(back["moves"][0]["at"], "2100-01-01T09:00:00.000Z");
  EXPECT_EQ(back["moves"][0]["done"], false);
  EXPECT_EQ(back["can_undo"], false);
  coming.back = false;
  world.control.moves_now = std::vector{coming};
  EXPECT_EQ(Send("GET", path, nullptr, 200)["can_undo"], true);
  world.control.moves_now = Fail(Code::kNotFound, "There is no pool other.");
  Send("GET", "/v1/pools/other/consolidation", nullptr, 404);
  EXPECT_EQ(world.Send(Ask("GET", path).As(lina)).status, 403);
}

}  // namespace
}  // namespace sluice::portal
