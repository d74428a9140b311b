// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace sluice::portal {

// portal/openapi.yaml as JSON, made at build time.
extern const std::string_view kOpenApiJson;

}  // namespace sluice::portal
