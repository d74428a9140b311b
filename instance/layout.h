// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"

namespace sluice::instance {

// Where the parts of an installed or freshly built Sluice lie, beside the running program.
struct Layout {
  std::string program;     // bin/sluice itself.
  std::string supervisor;  // bin/sluice-supervise.
  std::string interposer;  // lib/libsluice-cuda.so.
  std::string fronts;      // lib/front: what stands in the driver's place in the hardened mode.
  std::string simgpu;      // lib/simgpu: the folder of the simulated driver.
  std::string web;         // web: the browser's client; empty when it was not built.
};

// Finds them from the running program's place (bin/ beside lib/). Fails with kNotFound and the
// command that builds what is missing.
Result<Layout> FindLayout();

// The same for a given program file.
Result<Layout> LayoutOf(const std::string& program);

}  // namespace sluice::instance
