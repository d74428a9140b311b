// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/random.h"
#include "base/result.h"
#include "portal/internal/records.h"
#include "store/store.h"

namespace sluice::portal {

// What a sign-in gives to the browser.
struct FreshSession {
  std::string cookie;  // 256 random bits.
  SessionRecord record;
  store::Write write;  // To be committed by the caller.
};

// Sign-ins of people and API tokens, in the store. Thread-safe.
class Sessions {
 public:
  static constexpr Duration kIdleMax = std::chrono::hours(8);
  static constexpr Duration kLifeMax = std::chrono::hours(24);

  Sessions(store::Store& store, const Clock& clock, Random& random)
      : store_(store), clock_(clock), random_(random) {}

  FreshSession Fresh(const UserId& user);

  // The session that a cookie stands for; nullopt when there is none or it has expired.
  std::optional<SessionRecord> Find(std::string_view cookie);
  // Whether the session or token with this id is still good. For streams that stay open.
  bool StillGood(std::string_view session_or_token_id);
  // The token that "slc_…" stands for, likewise; notes its use, to the minute.
  std::optional<TokenRecord> FindToken(std::string_view bearer);

  // When a session ends if nothing more is heard of it.
  static TimePoint Ends(const SessionRecord& session);
  // What an unsafe request with this cookie must carry.
  static std::string CsrfToken(std::string_view cookie);

  // "slc_ID_SECRET", and the hash to keep.
  struct FreshToken {
    std::string id;
    std::string bearer;
    std::string secret_sha256;
  };
  FreshToken NewToken();

  // Deletions of all sessions of a user but one (empty: all), for the caller's transaction.
  Result<std::vector<store::Write>> EndAll(const UserId& user, std::string_view but);
  Result<std::vector<TokenRecord>> TokensOf(const UserId& user);

  // Deletes what has expired. Call now and then.
  void Sweep();

 private:
  bool Expired(const SessionRecord& session) const;

  store::Store& store_;
  const Clock& clock_;
  Random& random_;
};

}  // namespace sluice::portal
