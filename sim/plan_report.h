// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "sim/plan.h"

namespace sluice::sim {

// The schema Plan of portal/openapi.yaml.
nlohmann::json ToJson(const PlanAnswer& answer);

}  // namespace sluice::sim
