// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "base/ids.h"
#include "base/units.h"
#include "control/control.h"

namespace sluice::portal {

// Who looks at which desktop now, as the streams report it. Thread-safe.
class Viewers {
 public:
  struct Now {
    int viewers = 0;
    std::vector<std::string> operators;  // Names of those who look at somebody else's desktop.

    friend bool operator==(const Now&, const Now&) = default;
  };

  explicit Viewers(control::Control& control) : control_(control) {}

  // Passes the report on to control; calls the listener when what people see changed.
  void Report(const DesktopId& desktop, Now now, TimePoint last_input);
  // "I am here", without any input.
  void Touch(const DesktopId& desktop, TimePoint now);
  Now Of(const DesktopId& desktop) const;
  int Total() const;

  // Called on the reporting thread. Set once, before the first report.
  void OnChange(std::function<void(const DesktopId&)> listener) { listener_ = std::move(listener); }

 private:
  control::Control& control_;
  Guarded<std::map<DesktopId, Now>> now_;
  std::function<void(const DesktopId&)> listener_;
};

}  // namespace sluice::portal
