// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <thread>

#include "device/backend.h"

// What every vendor's backend must do. An implementation derives a fixture that can make two cards
// and injure them, and instantiates the suite with it:
//   INSTANTIATE_TYPED_TEST_SUITE_P(Nvidia, BackendConformance, NvidiaFixture);
namespace sluice::device {

class BackendFixture {
 public:
  virtual ~BackendFixture() = default;
  virtual Backend& backend() = 0;    // Two cards of 8 GiB.
  virtual void LoseFirstCard() = 0;  // It falls off the bus.
  virtual void RestoreFirstCard() = 0;
  // A process that holds at least this much of the first card until the fixture ends.
  virtual int64_t HoldMemory(Bytes memory) = 0;
};

template <typename Fixture>
class BackendConformance : public ::testing::Test {
 protected:
  Fixture fixture_;
};
TYPED_TEST_SUITE_P(BackendConformance);

TYPED_TEST_P(BackendConformance, NamesItsVendor) {
  EXPECT_FALSE(this->fixture_.backend().Vendor().empty());
}

TYPED_TEST_P(BackendConformance, ReadsEveryCardByIndex) {
  auto cards = this->fixture_.backend().Read();
  ASSERT_TRUE(cards);
  ASSERT_EQ(cards->size(), 2u);
  std::set<GpuId> ids;
  for (size_t i = 0; i < cards->size(); ++i) {
    const Gpu& gpu = (*cards)[i].gpu;
    EXPECT_EQ(gpu.index, static_cast<int>(i));
    EXPECT_EQ(gpu.id.text().rfind("GPU-", 0), 0u);
    EXPECT_EQ(gpu.vendor, this->fixture_.backend().Vendor());
    EXPECT_FALSE(gpu.model.empty());
    EXPECT_FALSE(gpu.driver_version.empty());
    EXPECT_EQ(gpu.memory, GiB(8));
    EXPECT_EQ(gpu.health, GpuHealth::kHealthy);
    EXPECT_TRUE(gpu.node.empty());
    EXPECT_TRUE(gpu.pool.empty());
    EXPECT_TRUE(gpu.shares.empty());
    ids.insert(gpu.id);
  }
  EXPECT_EQ(ids.size(), 2u);
}

TYPED_TEST_P(BackendConformance, ReadsTheSameIdentityTwice) {
  auto first = this->fixture_.backend().Read();
  auto second = this->fixture_.backend().Read();
  ASSERT_TRUE(first && second);
  EXPECT_EQ((*first)[0].gpu.id, (*second)[0].gpu.id);
  EXPECT_EQ((*first)[1].gpu.id, (*second)[1].gpu.id);
}

TYPED_TEST_P(BackendConformance, ListsAProcessWithItsMemory) {
  int64_t pid = this->fixture_.HoldMemory(GiB(1));
  auto cards = this->fixture_.backend().Read();
  ASSERT_TRUE(cards);
  const Card& card = (*cards)[0];
  ASSERT_EQ(card.processes.size(), 1u);
  EXPECT_EQ(card.processes[0].host_pid, pid);
  EXPECT_GE(card.processes[0].memory, GiB(1));
  EXPECT_EQ(card.use.memory_used, card.processes[0].memory);
  EXPECT_TRUE((*cards)[1].processes.empty());
  EXPECT_EQ((*cards)[1].use.memory_used, Bytes(0));
}

TYPED_TEST_P(BackendConformance, ReportsALostCardWithItsReason) {
  auto before = this->fixture_.backend().Read();
  ASSERT_TRUE(before);
  this->fixture_.LoseFirstCard();
  auto cards = this->fixture_.backend().Read();
  ASSERT_TRUE(cards);
  ASSERT_EQ(cards->size(), 2u);
  const Gpu& lost = (*cards)[0].gpu;
  EXPECT_EQ(lost.id, (*before)[0].gpu.id);
  EXPECT_EQ(lost.memory, GiB(8));
  EXPECT_EQ(lost.health, GpuHealth::kUnhealthy);
  EXPECT_FALSE(lost.health_reason.empty());
  EXPECT_EQ((*cards)[1].gpu.health, GpuHealth::kHealthy);

  this->fixture_.RestoreFirstCard();
  auto after = this->fixture_.backend().Read();
  ASSERT_TRUE(after);
  EXPECT_EQ((*after)[0].gpu.health, GpuHealth::kHealthy);
  EXPECT_TRUE((*after)[0].gpu.health_reason.empty());
}

TYPED_TEST_P(BackendConformance, GivesAccessToItsCardsOnly) {
  auto cards = this->fixture_.backend().Read();
  ASSERT_TRUE(cards);
  EXPECT_TRUE(this->fixture_.backend().Access((*cards)[0].gpu.id));
  auto unknown = this->fixture_.backend().Access(GpuId("GPU-not-there"));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kNotFound);
}

TYPED_TEST_P(BackendConformance, AnswersSeveralThreadsAtOnce) {
  auto read = [this] {
    for (int i = 0; i < 20; ++i) {
      auto cards = this->fixture_.backend().Read();
      EXPECT_TRUE(cards && cards->size() == 2u);
    }
  };
  std::jthread first(read);
  std::jthread second(read);
}

REGISTER_TYPED_TEST_SUITE_P(BackendConformance,
                            NamesItsVendor,
                            ReadsEveryCardByIndex,
                            ReadsTheSameIdentityTwice,
                            ListsAProcessWithItsMemory,
                            ReportsALostCardWithItsReason,
                            GivesAccessToItsCardsOnly,
                            AnswersSeveralThreadsAtOnce);

}  // namespace sluice::device
