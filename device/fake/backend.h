// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>

#include "base/guarded.h"
#include "device/backend.h"

// Cards in memory, for tests of everything above this folder.
namespace sluice::device {

// Thread-safe.
class FakeBackend final : public Backend {
 public:
  std::string Vendor() const override { return "nvidia"; }
  Result<std::vector<Card>> Read() override;
  Result<CardAccess> Access(const GpuId& gpu) override;

  // A healthy idle card "GPU-fake-<index>" of that size.
  GpuId Add(Bytes memory, std::string model = "Fake GPU");
  void Remove(const GpuId& gpu);

  void SetProcesses(const GpuId& gpu, std::vector<ProcessUse> processes);
  void SetUse(const GpuId& gpu, GpuUse use);
  // The card falls off the bus; an empty reason makes it healthy again.
  void SetLost(const GpuId& gpu, std::string reason);
  void SetAccess(const GpuId& gpu, CardAccess access);
  // From now on Read and Access fail so (the vendor library is gone); nullopt: work again.
  void SetFailure(std::optional<Error> failure);

 private:
  struct State {
    std::map<GpuId, Card> cards;
    std::map<GpuId, CardAccess> access;
    std::optional<Error> failure;
    int last_index = -1;
  };
  Guarded<State> state_;
};

}  // namespace sluice::device
