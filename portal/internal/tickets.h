// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/guarded.h"
#include "base/ids.h"
#include "base/random.h"
#include "base/units.h"

namespace sluice::portal {

// What a ticket allows: one connection to one desktop's screen.
struct Grant {
  UserId user;
  std::string user_name;
  std::string session;  // Id of the session or token; empty for the local socket.
  DesktopId desktop;
  bool control = false;
  bool foreign = false;  // Somebody else's desktop.
  std::string reason;    // Why a foreign desktop is looked at.
};

// Single-use tickets, valid for kTicketLife, kept as hashes in memory. Thread-safe.
class Tickets {
 public:
  static constexpr Duration kTicketLife{30'000};

  // nullopt when too many are outstanding.
  std::optional<std::string> Issue(Grant grant, Random& random, Duration now);

  // The grant, once; nullopt when unknown, used or expired.
  std::optional<Grant> Redeem(std::string_view ticket, Duration now);

  // Forgets the tickets of a session that ended.
  void Revoke(std::string_view session);

 private:
  struct Entry {
    Grant grant;
    Duration expires;
  };
  Guarded<std::map<std::string, Entry, std::less<>>> tickets_;
};

}  // namespace sluice::portal
