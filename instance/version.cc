// SPDX-License-Identifier: Apache-2.0
#include "instance/version.h"

namespace sluice::instance {

const char* const kVersion = SLUICE_VERSION;

}  // namespace sluice::instance
