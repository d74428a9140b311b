// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/agent.h"
#include "base/clock.h"
#include "device/backend.h"
#include "model/pool.h"

// The agent of this machine: makes the shares' regions, watches the processes in them, gives back
// what dead ones held, and compares the ledgers with what the driver sees.
namespace sluice::agent {

struct LocalAgentOptions {
  // Regions live here, one folder per claim; found again after a restart. Made when missing.
  std::string folder;
  std::string interposer;  // libsluice-cuda.so on the host.
  std::string cli;         // The program `sluice` on the host; empty: shares get none.

  // Folder of the libraries that stand in the driver's place in the hardened mode; empty: it is
  // off. With them more ways to the driver meet the limit; see
  // docs/decisions/0007-hardened-mode.md.
  std::string fronts;

  // What a context is taken to cost until one was measured. Too low: a new process may pass the
  // limit by the difference for up to one sample. Too high: small shares are refused early.
  Bytes context = kContextMemory;
  // How often cards are read and ledgers compared. Rarer: what goes round the interposer is found
  // later. More often: more CPU.
  Duration sample_every{1000};
  // How often new processes are looked for, and dead ones that could not be watched.
  Duration sweep_every{250};

  // How long a program that goes round the ledger has to end by itself when the rule is to end it.
  // Shorter: it cannot save its work. Longer: it holds the memory for longer.
  Duration bypass_grace{5'000};

  // Where the vendor's own way of sharing a card in space is at work when the agent starts (the
  // pipe is there), shares have no turns: it divides the card by its active thread percentage.
  std::string mps_control = "/tmp/nvidia-mps/control";

  // A card became healthy, unhealthy or stale. Called from the agent's threads; must not call the
  // agent.
  std::function<void(const GpuId& gpu, GpuHealth health, const std::string& reason)> on_health;

  // Null: the system's clock. Must outlive the agent.
  const Clock* clock = nullptr;
};

// Starts the agent's threads. `backend` must outlive it. Fails with kUnavailable when the folder
// cannot be made. The agent leaves regions as they are when it goes.
Result<std::unique_ptr<Agent>> StartLocalAgent(device::Backend& backend, LocalAgentOptions options);

}  // namespace sluice::agent
