// SPDX-License-Identifier: Apache-2.0
#include "control/control.h"

#include "control/internal/controller.h"
#include "control/run_process.h"

namespace sluice::control {
namespace {

// The controller with the system's own randomness.
struct Owned {
  SystemRandom random;
};

class SystemControl final : private Owned, public Controller {
 public:
  SystemControl(const Partners& partners, const Options& options)
      : Controller(
            partners,
            options,
            {.run_alive = [](int64_t pid, int64_t start) { return ProcessStart(pid) == start; },
             .random = random}) {}
};

}  // namespace

std::unique_ptr<Control> Control::Create(const Partners& partners, const Options& options) {
  return std::make_unique<SystemControl>(partners, options);
}

}  // namespace sluice::control
