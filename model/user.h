// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"

namespace sluice {

// Each role may all that the one before it may.
enum class Role { kUser, kOperator, kAdmin };
std::string_view ToString(Role role);
std::optional<Role> ParseRole(std::string_view text);

// What a user may hold at once; 0: no limit.
struct Quota {
  int desktops_max = 0;
  Bytes gpu_memory_max;

  friend bool operator==(const Quota&, const Quota&) = default;
};

struct User {
  UserId id;
  std::string name;          // Sign-in name, unique, see CheckUserName.
  std::string display_name;  // Free text, cleaned by CleanDisplayText.
  Role role = Role::kUser;
  bool disabled = false;
  std::string password_hash;  // argon2id; empty: cannot sign in with a password.
  bool must_change_password = false;
  Quota quota;
  TeamId team;  // Empty: none.
  TimePoint created_at;
  TimePoint last_sign_in_at;
};

// 1 to 32 of a-z 0-9 . _ -, beginning with a letter. Fails with kInvalidArgument, field "/name".
Result<void> CheckUserName(std::string_view name);

// Text that people type and other people read (names of desktops, messages): valid UTF-8, no
// control or bidirectional-override characters, not blank (also not by invisible characters), at
// most `bytes_max` bytes once trimmed. Returns it trimmed. Fails with kInvalidArgument and the
// given field.
Result<std::string> CleanDisplayText(std::string_view text,
                                     size_t bytes_max,
                                     std::string_view field);

}  // namespace sluice
