// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "model/user.h"
#include "store/store.h"

// What the portal keeps of its own in the store. Unknown members are ignored; Decode fails with
// kDataLoss.
namespace sluice::portal {

// A sign-in of a person. The id is the SHA-256 of the cookie, so that the store does not hold what
// signs in.
struct SessionRecord {
  std::string id;
  UserId user;
  TimePoint created_at;
  TimePoint last_seen_at;  // To the minute.
  TimePoint expires_at;    // The absolute end.
};
std::string EncodeSession(const SessionRecord& session);
Result<SessionRecord> DecodeSession(const store::Object& object);

// An API token. The id is public; the secret is kept as its SHA-256.
struct TokenRecord {
  std::string id;  // "tok_…".
  UserId user;
  std::string name;
  std::string secret_sha256;
  std::vector<std::string> scopes;
  TimePoint created_at;
  TimePoint expires_at;
  TimePoint last_used_at;  // To the minute.
};
std::string EncodeToken(const TokenRecord& token);
Result<TokenRecord> DecodeToken(const store::Object& object);

// A remembered answer to a POST. `answer` is sealed under the client's key; empty while the first
// request is between its change and its answer.
struct ReplayRecord {
  std::string id;
  std::string request_sha256;
  TimePoint created_at;
  std::string target;  // What was created.
  std::string answer;
};
std::string EncodeReplay(const ReplayRecord& replay);
Result<ReplayRecord> DecodeReplay(const store::Object& object);

}  // namespace sluice::portal
