// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sluice::instance {

// As people see it: the version that the build description states.
extern const char* const kVersion;

}  // namespace sluice::instance
