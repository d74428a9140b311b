// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "portal/internal/testing/world.h"
#include "store/codec.h"

namespace sluice::portal {
namespace {

using nlohmann::json;
using testing::Ask;
using testing::Person;
using testing::World;

constexpr int64_t kGiB = int64_t{1} << 30;

class Waiting : public ::testing::Test {
 protected:
  Waiting() {
    world.AddCard("GPU-1");
    desktop = world.AddDesktop(UserOf("lina"), "waits", DesktopState::kQueued);
    Claim claim;
    claim.id = ClaimId("clm_1");
    claim.desktop = desktop.id;
    claim.user = desktop.owner;
    claim.request.memory = Bytes(8 * kGiB);
    claim.request.priority = 3;
    claim.reason = "needs 8 GiB on one card; largest free: 3 GiB";
    claim.queued_since = TimePoint(Duration(5));
    world.Put(store::Put(claim, 0));
    auto row = world.Read<Desktop>(desktop.id.text());
    row.value.claim = claim.id;
    row.value.request = claim.request;
    world.Put(store::Put(row.value, row.version));
  }

  UserId UserOf(const std::string& name) {
    for (const store::Object& row : world.Rows(store::Kind::kUser)) {
      const auto user = store::Decode<User>(row.body);
      if (user->name == name) return user->id;
    }
    return {};
  }
  std::string Path(const std::string& what) {
    return "/v1/desktops/" + desktop.id.text() + "/" + what;
  }
  uint64_t Version() { return world.Read<Desktop>(desktop.id.text()).version; }
  Claim ClaimNow() { return world.Read<Claim>("clm_1").value; }
  json AskFor(const json& body, int status) {
    return world.SendForJson(Ask("POST", Path("ask")).As(lina).Json(body).Match(Version()), status);
  }

  World world;
  Person lina = world.Somebody("lina", Role::kUser);
  Person omid = world.Somebody("omid", Role::kUser);
  Desktop desktop;
};

TEST_F(Waiting, IsExplainedCardByCardWithWhatWouldStartNow) {
  control::Explained& explained = world.control.explained;
  explained.answer = control::Explained::Answer::kWaits;
  explained.reason = "needs 8 GiB on one card; largest free: 3 GiB";
  explained.summary = "1 card: 1 too little memory (largest free 3 GiB)";
  explained.cards.push_back({.gpu = GpuId("GPU-1"),
                             .node = NodeId("atlas"),
                             .index = 0,
                             .model = "NVIDIA A10",
                             .words = "too little memory (3 GiB free)"});
  ClaimRequest less;
  less.memory = Bytes(3 * kGiB);
  less.guarantee_by_memory = true;
  explained.alternatives.push_back({.request = less, .words = "3 GiB", .keeps_place = true});
  const json answer = world.SendForJson(Ask("GET", Path("explanation")).As(lina), 200);
  EXPECT_EQ(answer["answer"], "waits");
  EXPECT_EQ(answer["summary"], explained.summary);
  EXPECT_EQ(answer["cards"][0]["words"], "too little memory (3 GiB free)");
  EXPECT_EQ(answer["alternatives"][0]["words"], "3 GiB");
  EXPECT_EQ(answer["alternatives"][0]["gpu"]["memory_bytes"], 3 * kGiB);
  EXPECT_TRUE(answer["alternatives"][0]["gpu"]["guarantee_percent"].is_null());
  world.control.explain_question.With([&](const auto& question) {
    EXPECT_EQ(question.claim, ClaimId("clm_1"));
    EXPECT_EQ(question.request.memory, Bytes(8 * kGiB));
  });
  world.SendForJson(Ask("GET", Path("explanation")).As(omid), 404);
}

TEST_F(Waiting, KeepsItsPlaceWhenItAsksForLess) {
  const json answer = AskFor({{"memory_bytes", 3 * kGiB}, {"guarantee_percent", 0}}, 200);
  EXPECT_EQ(answer["gpu"]["memory_bytes"], 3 * kGiB);
  EXPECT_EQ(ClaimNow().request.memory, Bytes(3 * kGiB));
  EXPECT_EQ(ClaimNow().queued_since, TimePoint(Duration(5)));
  EXPECT_EQ(ClaimNow().request.priority, 3);
  EXPECT_EQ(world.AuditRows().back().action, "desktop.ask");
  EXPECT_EQ(world.AuditRows().back().detail, "3 GiB, 0% guaranteed.");
}

TEST_F(Waiting, GoesBehindTheOthersWhenItAsksForMoreOrForOtherCards) {
  AskFor({{"memory_bytes", 12 * kGiB}, {"guarantee_percent", 0}}, 200);
  EXPECT_EQ(ClaimNow().queued_since, world.clock.Now());
  world.clock.Advance(Duration(1'000));
  const std::string model = world.control.Offers({})[0].gpu_model;
  AskFor({{"memory_bytes", 12 * kGiB}, {"guarantee_percent", 0}, {"model", model}}, 200);
  EXPECT_EQ(ClaimNow().queued_since, world.clock.Now());
  EXPECT_EQ(ClaimNow().request.gpu_model, model);
  const TimePoint since = ClaimNow().queued_since;
  world.clock.Advance(Duration(1'000));
  AskFor({{"memory_bytes", 12 * kGiB}, {"guarantee_percent", 0}, {"model", nullptr}}, 200);
  EXPECT_EQ(ClaimNow().queued_since, since);
  EXPECT_EQ(ClaimNow().request.gpu_model, "");
}

TEST_F(Waiting, IsChangedOnceForOneKeyAndNotOnAnOldVersion) {
  const json body{{"memory_bytes", 3 * kGiB}};
  const uint64_t version = Version();
  const Ask ask = Ask("POST", Path("ask")).As(lina).Json(body).Key("k1").Match(version);
  const json first = world.SendForJson(ask, 200);
  const uint64_t after = Version();
  EXPECT_EQ(world.SendForJson(ask, 200), first);
  EXPECT_EQ(Version(), after);
  world.SendForJson(Ask("POST", Path("ask")).As(lina).Json(body).Match(version), 412);
  world.SendForJson(Ask("POST", Path("ask")).As(lina).Json(body), 428);
}

TEST_F(Waiting, IsNotChangedOnceItHasItsShare) {
  auto claim = world.Read<Claim>("clm_1");
  claim.value.phase = ClaimPhase::kReserved;
  world.Put(store::Put(claim.value, claim.version));
  EXPECT_EQ(AskFor({{"memory_bytes", 3 * kGiB}}, 409)["code"], "state_conflict");
  EXPECT_EQ(world.Read<Desktop>(desktop.id.text()).value.request.memory, Bytes(8 * kGiB));
}

TEST_F(Waiting, IsHeldToTheRulesOfShares) {
  EXPECT_EQ(AskFor({{"memory_bytes", 1}}, 422)["code"], "invalid_field");
  world.control.explained.summary = "1 card: 1 too small (largest has 24 GiB)";
  const json refused = AskFor({{"memory_bytes", 900 * kGiB}}, 422);
  EXPECT_EQ(refused["code"], "over_share_limit");
  EXPECT_EQ(refused["summary"], world.control.explained.summary);
  AskFor({{"memory_bytes", 3 * kGiB}, {"model", "none such"}}, 422);
  AskFor({{"memory_bytes", 3 * kGiB}, {"color", 1}}, 422);
}

}  // namespace
}  // namespace sluice::portal
