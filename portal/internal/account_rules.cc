// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/account_rules.h"

namespace sluice::portal {

Result<Stored<User>> FindUserByName(Objects& objects, std::string_view name) {
  const auto users = objects.List<User>();
  if (!users) return Fail(users.error());
  for (const auto& user : users->objects) {
    if (user->value.name == name) return user;
  }
  return Stored<User>();
}

Result<bool> HasAnotherAdmin(Objects& objects, const UserId& but) {
  const auto users = objects.List<User>();
  if (!users) return Fail(users.error());
  for (const auto& stored : users->objects) {
    const User& user = stored->value;
    if (user.id == but || user.disabled || user.password_hash.empty()) continue;
    if (user.role == Role::kAdmin) return true;
  }
  return false;
}

}  // namespace sluice::portal
