// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "base/result.h"
#include "model/user.h"
#include "portal/internal/objects.h"

namespace sluice::portal {

// The user with this sign-in name, or null. Fails as the store does.
Result<Stored<User>> FindUserByName(Objects& objects, std::string_view name);

// Whether somebody else than `but` could still administer through the web: an enabled admin who
// has a password.
Result<bool> HasAnotherAdmin(Objects& objects, const UserId& but);

}  // namespace sluice::portal
