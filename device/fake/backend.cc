// SPDX-License-Identifier: Apache-2.0
#include "device/fake/backend.h"

#include <algorithm>

namespace sluice::device {

Result<std::vector<Card>> FakeBackend::Read() {
  return state_.With([](State& state) -> Result<std::vector<Card>> {
    if (state.failure) return Fail(*state.failure);
    std::vector<Card> cards;
    for (const auto& [id, card] : state.cards) cards.push_back(card);
    std::ranges::sort(cards, {}, [](const Card& card) { return card.gpu.index; });
    return cards;
  });
}

Result<CardAccess> FakeBackend::Access(const GpuId& gpu) {
  return state_.With([&](State& state) -> Result<CardAccess> {
    if (state.failure) return Fail(*state.failure);
    if (!state.cards.contains(gpu)) return Fail(Code::kNotFound, "no card " + gpu.text());
    return state.access[gpu];
  });
}

GpuId FakeBackend::Add(Bytes memory, std::string model) {
  return state_.With([&](State& state) {
    Card card;
    card.gpu.index = ++state.last_index;
    card.gpu.id = GpuId("GPU-fake-" + std::to_string(card.gpu.index));
    card.gpu.vendor = "nvidia";
    card.gpu.model = std::move(model);
    card.gpu.driver_version = "1.0-fake";
    card.gpu.memory = memory;
    state.cards[card.gpu.id] = card;
    return card.gpu.id;
  });
}

void FakeBackend::Remove(const GpuId& gpu) {
  state_.With([&](State& state) { state.cards.erase(gpu); });
}

void FakeBackend::SetProcesses(const GpuId& gpu, std::vector<ProcessUse> processes) {
  state_.With([&](State& state) {
    Card& card = state.cards.at(gpu);
    card.use.memory_used = Bytes(0);
    for (const ProcessUse& process : processes) card.use.memory_used += process.memory;
    card.processes = std::move(processes);
  });
}

void FakeBackend::SetUse(const GpuId& gpu, GpuUse use) {
  state_.With([&](State& state) { state.cards.at(gpu).use = use; });
}

void FakeBackend::SetLost(const GpuId& gpu, std::string reason) {
  state_.With([&](State& state) {
    Gpu& row = state.cards.at(gpu).gpu;
    row.health = reason.empty() ? GpuHealth::kHealthy : GpuHealth::kUnhealthy;
    row.health_reason = std::move(reason);
  });
}

void FakeBackend::SetAccess(const GpuId& gpu, CardAccess access) {
  state_.With([&](State& state) { state.access[gpu] = std::move(access); });
}

void FakeBackend::SetFailure(std::optional<Error> failure) {
  state_.With([&](State& state) { state.failure = std::move(failure); });
}

}  // namespace sluice::device
