// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/guarded.h"
#include "base/units.h"

namespace sluice::portal {

// Slows down the guessing of passwords. Failures are counted for three things at once: the account
// from this source, the source, and the account from everywhere; whichever is over its limit locks,
// twice as long each time. Names that do not exist lock like those that do. In memory: a restart
// forgets. Thread-safe.
class Lockout {
 public:
  // How long this account is still locked for this source; 0: not locked.
  Duration LockedFor(std::string_view account, std::string_view source, Duration now) const;

  void Failed(std::string_view account, std::string_view source, Duration now);
  // A correct password forgives the account's failures from this source, and no others.
  void Succeeded(std::string_view account, std::string_view source);

 private:
  struct Tally {
    int failures = 0;
    Duration last_failure{0};
    Duration locked_until{0};
  };
  using Tallies = std::map<std::string, Tally, std::less<>>;

  static std::array<std::string, 3> Keys(std::string_view account, std::string_view source);

  Guarded<Tallies> tallies_;
};

}  // namespace sluice::portal
