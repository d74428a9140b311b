// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <thread>

#include "portal/internal/testing/world.h"

namespace sluice::portal {
namespace {

using testing::Ask;
using testing::Person;
using testing::World;
using Json = nlohmann::json;

class PlanPage : public ::testing::Test {
 protected:
  void SetUp() override {
    world.plan = [this](const PlanQuestion& question) -> Result<std::string> {
      asked.push_back(question);
      return std::string(R"({"history":{}})");
    };
  }
  Json Get(const std::string& query, int status) {
    return world.SendForJson(Ask("GET", "/v1/plan" + query).As(ada), status);
  }

  World world;
  Person ada = world.Somebody("ada", Role::kAdmin);
  std::vector<PlanQuestion> asked;
};

TEST_F(PlanPage, HandsTheQuestionOn) {
  EXPECT_EQ(Get("", 200), (Json{{"history", Json::object()}}));
  EXPECT_EQ(asked.back().fleet, "");
  EXPECT_FALSE(asked.back().idle);
  EXPECT_EQ(asked.back().growth_pct, 100);
  EXPECT_EQ(asked.back().overcommit_pct, 0);
  EXPECT_EQ(asked.back().preempt, "");
  Get("?fleet=4x24GiB,2x80GiB@1.20&share_bytes=1024&idle_s=0&policy=fgd&price=1.5&growth_pct="
      "150"
      "&synthetic=true&overcommit_pct=150&preempt=borrowed",
      200);
  EXPECT_EQ(asked.back().fleet, "4x24GiB,2x80GiB@1.20");
  EXPECT_EQ(asked.back().share, Bytes(1024));
  EXPECT_EQ(asked.back().idle, Duration(0));
  EXPECT_EQ(asked.back().policy, "fgd");
  EXPECT_EQ(asked.back().price, 1.5);
  EXPECT_EQ(asked.back().growth_pct, 150);
  EXPECT_TRUE(asked.back().synthetic);
  EXPECT_EQ(asked.back().overcommit_pct, 150);
  EXPECT_EQ(asked.back().preempt, "borrowed");
}

TEST_F(PlanPage, IsForAdministrators) {
  const Person omar = world.Somebody("omar", Role::kOperator);
  world.SendForJson(Ask("GET", "/v1/plan").As(omar), 403);
  EXPECT_TRUE(asked.empty());
}

TEST_F(PlanPage, RefusesWhatIsNoNumber) {
  for (const char* query : {"?price=nan",
                            "?price=-1",
                            "?price=1e99",
                            "?price=1x",
                            "?growth_pct=0",
                            "?growth_pct=1001",
                            "?overcommit_pct=99",
                            "?overcommit_pct=1001",
                            "?idle_s=-1",
                            "?share_bytes=0",
                            "?synthetic=perhaps"}) {
    SCOPED_TRACE(query);
    Get(query, 400);
  }
  Get("?fleet=" + std::string(501, 'x'), 400);
  EXPECT_TRUE(asked.empty());
}

TEST_F(PlanPage, SaysWhatThePlannerSays) {
  world.plan = [](const PlanQuestion&) -> Result<std::string> {
    return Fail(Code::kInvalidArgument, "\"x\" is no machine");
  };
  EXPECT_EQ(Get("?fleet=x", 422)["detail"], "\"x\" is no machine.");
}

TEST_F(PlanPage, AnswersOneQuestionAtATime) {
  Json second;
  world.plan = [&](const PlanQuestion&) -> Result<std::string> {
    std::thread([&] { second = Get("", 503); }).join();
    return std::string("{}");
  };
  Get("", 200);
  EXPECT_EQ(second["code"], "unavailable");
  EXPECT_GT(second["retry_after_s"], 0);
}

}  // namespace
}  // namespace sluice::portal
