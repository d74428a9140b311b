// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "store/store.h"

namespace sluice::instance {

// Puts the one pool and the templates that come with Sluice into the store: new ones are added, the
// built-in ones are brought up to this version. Fails as the store does.
Result<void> SeedStore(store::Store& store);

}  // namespace sluice::instance
