// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/viewers.h"

#include <utility>

namespace sluice::portal {

void Viewers::Report(const DesktopId& desktop, Now now, TimePoint last_input) {
  control_.ReportViewers(desktop, {.viewers = now.viewers, .last_input_at = last_input});
  const bool changed = now_.With([&](auto& all) {
    const auto found = all.find(desktop);
    if (found == all.end() ? now == Now() : found->second == now) return false;
    if (now.viewers == 0) {
      all.erase(desktop);
    } else {
      all[desktop] = std::move(now);
    }
    return true;
  });
  if (changed && listener_) listener_(desktop);
}

void Viewers::Touch(const DesktopId& desktop, TimePoint now) {
  control_.ReportViewers(desktop, {.viewers = Of(desktop).viewers, .last_input_at = now});
}

Viewers::Now Viewers::Of(const DesktopId& desktop) const {
  return now_.With([&](const auto& all) {
    const auto found = all.find(desktop);
    return found == all.end() ? Now() : found->second;
  });
}

int Viewers::Total() const {
  return now_.With([](const auto& all) {
    int total = 0;
    for (const auto& [desktop, now] : all) total += now.viewers;
    return total;
  });
}

}  // namespace sluice::portal
