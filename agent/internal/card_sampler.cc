// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/card_sampler.h"

#include <utility>

#include "base/log.h"

namespace sluice::agent {
namespace {

// Longer without an answer, and nothing about the card is certain.
constexpr Duration kStaleAfter{5'000};

}  // namespace

CardSampler::CardSampler(device::Backend& backend, const Clock& clock, OnHealth on_health)
    : backend_(backend), clock_(clock), on_health_(std::move(on_health)) {}

GpuHealth CardSampler::HealthOf(const State& state, const Gpu& gpu, std::string& reason) const {
  if (clock_.Steady() - state.sampled_steady > kStaleAfter) {
    reason = "the driver has not answered for some seconds: " + state.last_error.message;
    return GpuHealth::kStale;
  }
  reason = gpu.health_reason;
  return gpu.health;
}

std::vector<CardSampler::News> CardSampler::Compare(State& state) const {
  std::vector<News> news;
  for (const device::Card& card : state.cards) {
    std::string reason;
    const GpuHealth health = HealthOf(state, card.gpu, reason);
    auto [told, first] = state.told.try_emplace(card.gpu.id, GpuHealth::kHealthy);
    if (told->second != health) {
      told->second = health;
      news.push_back({card.gpu.id, health, reason});
    }
  }
  return news;
}

std::vector<device::Card> CardSampler::Sample() {
  auto cards = backend_.Read();
  auto news = state_.With([&](State& state) {
    if (cards) {
      state.cards = *cards;
      state.sampled_steady = clock_.Steady();
      state.ever = true;
    } else {
      state.last_error = cards.error();
    }
    return Compare(state);
  });
  for (const News& item : news) {
    Log(item.health == GpuHealth::kHealthy ? LogLevel::kInfo : LogLevel::kWarning,
        "card {} is {}{}{}",
        item.gpu.text(),
        ToString(item.health),
        item.reason.empty() ? "" : ": ",
        item.reason);
    if (on_health_) {
      on_health_(item.gpu, item.health, item.reason);
    }
  }
  return cards ? std::move(*cards) : std::vector<device::Card>();
}

Result<std::vector<CardState>> CardSampler::Cards() {
  return state_.With([&](State& state) -> Result<std::vector<CardState>> {
    if (!state.ever) {
      return Fail(state.last_error);
    }
    std::vector<CardState> list;
    for (const device::Card& card : state.cards) {
      CardState shown{card.gpu, card.use};
      shown.gpu.health = HealthOf(state, card.gpu, shown.gpu.health_reason);
      list.push_back(std::move(shown));
    }
    return list;
  });
}

Result<Gpu> CardSampler::Find(const GpuId& gpu) {
  return state_.With([&](State& state) -> Result<Gpu> {
    for (const device::Card& card : state.cards) {
      if (card.gpu.id == gpu) {
        return card.gpu;
      }
    }
    return Fail(Code::kNotFound, "this machine has no card " + gpu.text());
  });
}

}  // namespace sluice::agent
