// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/sessions.h"

#include <algorithm>
#include <utility>

#include "portal/internal/secrets.h"

namespace sluice::portal {
namespace {

using store::Kind;

constexpr size_t kSecretBytes = 32;
constexpr std::string_view kTokenPrefix = "slc_";
// "Last used" is kept to the minute: a write for each request would cost more than the request.
constexpr Duration kTouchEvery = std::chrono::minutes(1);
constexpr size_t kSweepPage = 1'000;

// Whether `last` is old enough to be written anew. A clock that was set back counts as old.
bool WorthTouching(TimePoint last, TimePoint now) {
  return now - last >= kTouchEvery || now < last;
}

}  // namespace

FreshSession Sessions::Fresh(const UserId& user) {
  FreshSession fresh;
  fresh.cookie = RandomText(random_, kSecretBytes);
  const TimePoint now = clock_.Now();
  fresh.record = {.id = Sha256Hex(fresh.cookie),
                  .user = user,
                  .created_at = now,
                  .last_seen_at = now,
                  .expires_at = now + kLifeMax};
  fresh.write = {Kind::kSession, fresh.record.id, 0, EncodeSession(fresh.record)};
  return fresh;
}

TimePoint Sessions::Ends(const SessionRecord& session) {
  return std::min(session.expires_at, session.last_seen_at + kIdleMax);
}

std::string Sessions::CsrfToken(std::string_view cookie) {
  return Derive(cookie, "csrf");
}

bool Sessions::Expired(const SessionRecord& session) const {
  return Ends(session) <= clock_.Now();
}

std::optional<SessionRecord> Sessions::Find(std::string_view cookie) {
  if (cookie.empty()) return std::nullopt;
  const auto object = store_.Get(Kind::kSession, Sha256Hex(cookie));
  if (!object) return std::nullopt;
  auto session = DecodeSession(*object);
  if (!session || Expired(*session)) return std::nullopt;
  const TimePoint now = clock_.Now();
  if (WorthTouching(session->last_seen_at, now)) {
    session->last_seen_at = now;
    const store::Write write{Kind::kSession, session->id, object->version, EncodeSession(*session)};
    // Losing this race means that somebody else has touched or ended it; both are theirs to say.
    (void)store_.Commit({&write, 1});
  }
  return std::move(*session);
}

bool Sessions::StillGood(std::string_view id) {
  if (const auto object = store_.Get(Kind::kSession, id)) {
    const auto session = DecodeSession(*object);
    return session && !Expired(*session);
  }
  if (const auto object = store_.Get(Kind::kToken, id)) {
    const auto token = DecodeToken(*object);
    return token && token->expires_at > clock_.Now();
  }
  return false;
}

Sessions::FreshToken Sessions::NewToken() {
  FreshToken token;
  token.id = NewIdText("tok", clock_.Now(), random_);
  const std::string secret = RandomText(random_, kSecretBytes);
  token.bearer = std::string(kTokenPrefix) + token.id + "." + secret;
  token.secret_sha256 = Sha256Hex(secret);
  return token;
}

std::optional<TokenRecord> Sessions::FindToken(std::string_view bearer) {
  if (!bearer.starts_with(kTokenPrefix)) return std::nullopt;
  bearer.remove_prefix(kTokenPrefix.size());
  const size_t dot = bearer.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto object = store_.Get(Kind::kToken, bearer.substr(0, dot));
  if (!object) return std::nullopt;
  auto token = DecodeToken(*object);
  const TimePoint now = clock_.Now();
  if (!token || token->expires_at <= now) return std::nullopt;
  if (!EqualSecrets(token->secret_sha256, Sha256Hex(bearer.substr(dot + 1)))) return std::nullopt;
  if (WorthTouching(token->last_used_at, now)) {
    token->last_used_at = now;
    const store::Write write{Kind::kToken, token->id, object->version, EncodeToken(*token)};
    (void)store_.Commit({&write, 1});
  }
  return std::move(*token);
}

Result<std::vector<store::Write>> Sessions::EndAll(const UserId& user, std::string_view but) {
  const auto listing = store_.List(Kind::kSession, "", 0);
  if (!listing) return Fail(listing.error());
  std::vector<store::Write> writes;
  for (const store::Object& object : listing->objects) {
    const auto session = DecodeSession(object);
    if (!session || session->user != user || session->id == but) continue;
    writes.push_back({Kind::kSession, object.id, std::nullopt, std::nullopt});
  }
  return writes;
}

Result<std::vector<TokenRecord>> Sessions::TokensOf(const UserId& user) {
  const auto listing = store_.List(Kind::kToken, "", 0);
  if (!listing) return Fail(listing.error());
  std::vector<TokenRecord> tokens;
  for (const store::Object& object : listing->objects) {
    auto token = DecodeToken(object);
    if (token && token->user == user) tokens.push_back(std::move(*token));
  }
  return tokens;
}

void Sessions::Sweep() {
  std::vector<store::Write> writes;
  const TimePoint now = clock_.Now();
  const auto remove = [&](const store::Object& object) {
    if (writes.size() < kSweepPage) {
      writes.push_back({object.kind, object.id, object.version, std::nullopt});
    }
  };
  if (const auto sessions = store_.List(Kind::kSession, "", 0)) {
    for (const store::Object& object : sessions->objects) {
      const auto session = DecodeSession(object);
      if (!session || Expired(*session)) remove(object);
    }
  }
  if (const auto tokens = store_.List(Kind::kToken, "", 0)) {
    for (const store::Object& object : tokens->objects) {
      const auto token = DecodeToken(object);
      // Expired ones stay visible for a month, so that their owner sees why a script stopped.
      if (!token || token->expires_at + std::chrono::days(30) < now) remove(object);
    }
  }
  if (!writes.empty()) (void)store_.Commit(writes);
}

}  // namespace sluice::portal
