// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sluice {

// The machine's name as its kernel has it; "localhost" when it has none.
std::string HostName();

}  // namespace sluice
