// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "portal/internal/account_rules.h"
#include "portal/internal/secrets.h"
#include "portal/portal.h"

namespace sluice::portal {
namespace {

constexpr std::string_view kFirstAdminName = "admin";

}  // namespace

Result<std::optional<FirstAdmin>> EnsureFirstAdmin(store::Store& store,
                                                   AuditLog& audit,
                                                   const Clock& clock,
                                                   Random& random,
                                                   const Options& options) {
  Objects objects(store);
  const auto users = objects.List<User>();
  if (!users) return Fail(users.error());
  const auto is_local = [](const auto& user) { return user->value.name == kLocalAdminName; };
  std::vector<store::Write> writes;
  const TimePoint now = clock.Now();
  if (std::ranges::none_of(users->objects, is_local)) {
    const User local{.id = UserId(NewIdText("usr", now, random)),
                     .name = std::string(kLocalAdminName),
                     .display_name = "Administrator of this machine",
                     .role = Role::kAdmin,
                     .created_at = now};
    writes.push_back(store::Put(local, 0));
  }
  std::optional<FirstAdmin> first;
  if (std::ranges::all_of(users->objects, is_local)) {
    first = FirstAdmin{std::string(kFirstAdminName), OneTimePassword(random)};
    auto hash = HashPassword(first->one_time_password,
                             {options.password_passes, options.password_memory_bytes});
    if (!hash) return Fail(hash.error());
    const User admin{.id = UserId(NewIdText("usr", now, random)),
                     .name = first->name,
                     .display_name = "Administrator",
                     .role = Role::kAdmin,
                     .password_hash = std::move(*hash),
                     .must_change_password = true,
                     .created_at = now};
    writes.push_back(store::Put(admin, 0));
  }
  if (writes.empty()) return std::optional<FirstAdmin>();
  const auto done = audit.Commit(
      std::move(writes),
      {{"sluice", "start", ""}, {"user.create", "", "ok", "The accounts of a new installation."}});
  if (!done) return Fail(done.error());
  return first;
}

}  // namespace sluice::portal
