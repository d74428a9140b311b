// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "portal/internal/app.h"

namespace sluice::portal {

// Everything that /metrics says, in Prometheus' text form. Where a metric means the same as one of
// DCGM's exporter it has that name and those labels, so that existing dashboards work; memory of
// those is in MiB as there. Simulated cards carry the label simulated="true".
std::string MetricsText(App& app);

}  // namespace sluice::portal
