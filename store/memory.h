// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "store/store.h"

namespace sluice::store {

// A store that ends with the process: for tests, and for a `sluice run` without an instance.
std::unique_ptr<Store> OpenMemory();

}  // namespace sluice::store
