// SPDX-License-Identifier: Apache-2.0
#include "scheduler/annotations.h"

#include <gtest/gtest.h>
#include <vector>

#include "scheduler/ledger_for_tests.h"
#include "scheduler/placer.h"

namespace sluice::scheduler {
namespace {

const std::vector<std::string> kModels = {"A100-80GB", "A10", "Tesla T4"};

Demand Annotated(Demand demand, const std::vector<Annotation>& annotations) {
  for (const Annotation& annotation : annotations) {
    const auto applied = ApplyAnnotation(demand, annotation, kModels);
    EXPECT_TRUE(applied && *applied) << annotation.key;
  }
  return demand;
}

TEST(Annotations, SetTheRulesOfADemand) {
  const struct {
    Annotation annotation;
    Demand becomes;
  } cases[] = {
      {{"hami.io/node-scheduler-policy", "binpack"}, {.node_rule = NodeRule::kBinpack}},
      {{"hami.io/node-scheduler-policy", " spread "}, {.node_rule = NodeRule::kSpread}},
      {{"hami.io/gpu-scheduler-policy", "spread"}, {.card_rule = CardRule::kSpread}},
      {{"hami.io/gpu-scheduler-policy", "binpack,mutex"},
       {.idle_cards = true, .card_rule = CardRule::kBinpack}},
      {{"hami.io/gpu-scheduler-policy", "topology-aware, binpack"},
       {.card_rule = CardRule::kClosest}},
      {{"hami.io/gpu-scheduler-policy", "numa"}, {.card_rule = CardRule::kClosest}},
      {{"nvidia.com/use-gputype", "a10"}, {.models = {"A10", "A100-80GB"}}},
      {{"nvidia.com/use-gputype", "A100,t4"}, {.models = {"A100-80GB", "Tesla T4"}}},
      {{"nvidia.com/nouse-gputype", "A100,T4"}, {.models = {"A10"}}},
      {{"nvidia.com/use-gpuuuid", "b,a"}, {.only = {GpuId("a"), GpuId("b")}}},
      {{"nvidia.com/nouse-gpuuuid", "a"}, {.never = {GpuId("a")}}},
      {{"nvidia.com/numa-bind", "true"}, {.one_numa = true}},
      {{"nvidia.com/numa-bind", "false"}, {}},
  };
  for (const auto& [annotation, becomes] : cases) {
    EXPECT_EQ(Annotated({}, {annotation}), becomes) << annotation.key << " " << annotation.value;
  }
}

TEST(Annotations, AreMetTogether) {
  const Demand both =
      Annotated({}, {{"nvidia.com/use-gputype", "A10"}, {"nvidia.com/nouse-gputype", "A100"}});
  EXPECT_EQ(both.models, std::vector<std::string>{"A10"});
}

TEST(Annotations, ThatNoCardMeetsFitNowhere) {
  Ledger ledger;
  ledger.AddNode({.id = NodeId("n"), .cards = {{.id = GpuId("g"), .kind = {.model = "A10"}}}});
  const std::vector<std::string> models = {"A10"};
  for (const Annotation& none : {Annotation{"nvidia.com/use-gputype", "H100"},
                                 Annotation{"nvidia.com/nouse-gputype", "A10"}}) {
    Demand demand;
    ASSERT_TRUE(ApplyAnnotation(demand, none, models));
    EXPECT_FALSE(ledger.FirstFit(demand)) << none.key;
  }
  Demand any;
  ASSERT_TRUE(ApplyAnnotation(any, {"nvidia.com/use-gputype", "a1"}, models));
  EXPECT_TRUE(ledger.FirstFit(any));
}

TEST(Annotations, ThatAreWrongSayWhatTheyMayBe) {
  const Demand before = {.node_rule = NodeRule::kSpread, .card_rule = CardRule::kBinpack};
  const struct {
    Annotation annotation;
    const char* says;
  } cases[] = {
      {{"hami.io/node-scheduler-policy", "pack"}, "binpack or spread"},
      {{"hami.io/node-scheduler-policy", "binpack,spread"}, "binpack or spread"},
      {{"hami.io/gpu-scheduler-policy", "mutex,numas"}, "topology-aware, mutex"},
      {{"hami.io/gpu-scheduler-policy", "binpack,spread"}, "binpack or spread"},
      {{"hami.io/gpu-scheduler-policy", ""}, "a list of"},
      {{"nvidia.com/use-gputype", " , "}, "models' names"},
      {{"nvidia.com/use-gpuuuid", ""}, "a list of cards"},
      {{"nvidia.com/numa-bind", "yes"}, "true or false"},
  };
  for (const auto& [annotation, says] : cases) {
    Demand demand = before;
    const auto applied = ApplyAnnotation(demand, annotation, kModels);
    ASSERT_FALSE(applied) << annotation.key << " " << annotation.value;
    EXPECT_EQ(applied.error().code, Code::kInvalidArgument);
    EXPECT_EQ(applied.error().field, annotation.key);
    EXPECT_NE(applied.error().message.find(says), std::string::npos) << applied.error().message;
    EXPECT_EQ(demand, before);
  }
}

TEST(Annotations, OfOtherThingsAreLeftAlone) {
  for (const char* key : {"hami.io/vgpu-node", "nvidia.com/vgpu-mode", "", "HAMI.IO/x"}) {
    Demand demand;
    const auto applied = ApplyAnnotation(demand, {key, "binpack"}, kModels);
    ASSERT_TRUE(applied);
    EXPECT_FALSE(*applied);
    EXPECT_EQ(demand, Demand());
  }
}

}  // namespace
}  // namespace sluice::scheduler
