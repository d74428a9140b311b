// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "model/gpu.h"

// What every vendor's library must answer. One implementation per folder; all pass the suite in
// device/conformance.h.
namespace sluice::device {

// A process that holds memory of a card, by the host's process id.
struct ProcessUse {
  int64_t host_pid = 0;
  Bytes memory;
  int utilization_percent = 0;  // Of the card's time, in the driver's last sample; 0: unknown.
  bool draws_only = false;      // It uses the card for graphics, and not for compute.
};

struct Card {
  Gpu gpu;  // Identity, model, memory, driver; `node`, `pool` and `shares` are left empty.
  GpuUse use;
  std::vector<ProcessUse> processes;
};

// What a sandbox needs to use a card.
struct CardAccess {
  std::vector<std::string> device_nodes;  // "/dev/nvidia0", …
  std::vector<std::string> library_dirs;  // Put on the sandbox's library path, in this order.
  std::vector<std::string> read_only;     // Further files or folders bound at the same path.
  std::vector<std::string> read_write;    // The same, writable (the simulated cards' state).
};

// Thread-safe: calls may come from the agent's sampling thread and from its logic thread.
class Backend {
 public:
  virtual ~Backend() = default;

  // "nvidia".
  virtual std::string Vendor() const = 0;

  // Every card with its present use, by index; mode kPartitioned for one that is divided by its own
  // hardware (MIG), else kShared. A card that fell off the bus is returned with
  // health kUnhealthy and the reason. Fails with kUnavailable when the vendor library is gone.
  virtual Result<std::vector<Card>> Read() = 0;

  // Fails with kNotFound for an unknown card.
  virtual Result<CardAccess> Access(const GpuId& gpu) = 0;
};

}  // namespace sluice::device
