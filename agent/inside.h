// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

// What a program inside a share can learn: `sluice gpu` and `sluice gpu test`. Needs no agent and
// no portal: it reads the share's own pages, and asks the driver as any program does.
namespace sluice::agent {

struct InsideDevice {
  std::string uuid;
  Bytes limit;
  Bytes used;      // What the share's processes hold, at most the limit.
  Bytes overhead;  // The part of it that the agent found beyond the ledger.
  Bytes peak;
  int64_t refused = 0;
  ComputeMillis guarantee;
  ComputeMillis cap;              // 0: none.
  ComputeMillis compute_used;     // Over the last second.
  ComputeMillis compute_waiting;  // The part of the last second in which programs waited.
  bool simulated = false;
};

struct InsideProcess {
  int64_t pid = 0;  // As processes count inside the share.
  std::string command;
  std::vector<Bytes> memory;  // By device.
};

struct InsideView {
  std::string claim;
  std::string label;
  std::vector<InsideDevice> devices;
  std::vector<InsideProcess> processes;
};

// Whether this process runs inside a share.
bool IsInside();

// Reads the share that this process runs in. Fails with kFailedPrecondition outside of one,
// kUnavailable when the pages cannot be read, kDataLoss when they are of another version.
Result<InsideView> LookInside();

// One step of the driver's test.
struct TestStep {
  std::string name;  // "allocate 64 MiB".
  bool passed = false;
  std::string detail;  // What the driver said, or what was measured.
  int64_t micros = 0;
};

struct TestReport {
  std::string device;  // As the driver names it.
  std::string driver_version;
  Bytes total;
  bool simulated = false;
  std::vector<TestStep> steps;  // Up to the first that failed, and those that still made sense.

  bool passed() const;
};

// Loads the driver and lets it allocate, copy, launch a kernel, check its result, free, and refuse
// what is more than there is. Works on real and on simulated cards, inside and outside of a share.
// Leaves nothing behind. Takes well under a second on an idle card. Fails with kUnavailable when
// there is no driver.
Result<TestReport> TestGpu();

}  // namespace sluice::agent
