// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/replays.h"

#include <array>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/log.h"
#include "portal/internal/json_writer.h"
#include "portal/internal/records.h"
#include "portal/internal/secrets.h"

namespace sluice::portal {
namespace {

using store::Kind;

constexpr Duration kKeep = std::chrono::hours(24);
constexpr size_t kSweepPage = 1'000;
// The header fields that are part of an answer; the others are made anew for each response.
constexpr std::array<std::string_view, 3> kHeaders = {"Content-Type", "Location", "ETag"};

std::string EncodeAnswer(const net::Response& response) {
  JsonWriter json;
  json.BeginObject().Field("status", response.status).Field("body", response.body);
  for (const std::string_view name : kHeaders) json.Field(name, response.headers.Get(name));
  return json.EndObject().Take();
}

std::optional<net::Response> DecodeAnswer(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  net::Response response;
  response.status = json.value("status", 200);
  response.body = json.value("body", "");
  for (const std::string_view name : kHeaders) {
    const std::string value = json.value(std::string(name), "");
    if (!value.empty()) response.headers.Set(name, value);
  }
  response.headers.Set("Idempotency-Replayed", "true");
  return response;
}

}  // namespace

ReplayKey Replays::KeyFor(std::string_view user, const net::Request& request) {
  ReplayKey key;
  key.key = request.headers.Get("Idempotency-Key");
  key.id = Sha256Hex(fmt::format("{}\n{}", user, key.key));
  key.request_sha256 =
      Sha256Hex(fmt::format("{} {}\n{}", request.method, request.path, request.body));
  return key;
}

OrProblem<std::optional<net::Response>> Replays::Begin(const ReplayKey& key) {
  const bool first = serving_.With([&](auto& serving) { return serving.insert(key.id).second; });
  if (!first) {
    return No(ProblemCode::kStateConflict,
              "A request with this Idempotency-Key is being served now. Ask again in a moment.");
  }
  const auto object = store_.Get(Kind::kIdempotency, key.id);
  if (!object) return std::optional<net::Response>();
  const auto record = DecodeReplay(*object);
  if (!record || record->created_at + kKeep <= clock_.Now()) return std::optional<net::Response>();
  if (record->request_sha256 != key.request_sha256) {
    End(key);
    return No(ProblemCode::kIdempotencyMismatch,
              "This Idempotency-Key was used for another request within the last 24 hours.");
  }
  const auto plain = Unseal(record->answer, key.key);
  auto answer = plain ? DecodeAnswer(*plain) : std::nullopt;
  End(key);
  if (!answer) {
    return No(ProblemCode::kStateConflict,
              fmt::format("The first request made {}, but was cut off before its answer.",
                          record->target));
  }
  return answer;
}

store::Write Replays::Pending(const ReplayKey& key, std::string_view target) const {
  const ReplayRecord record{.id = key.id,
                            .request_sha256 = key.request_sha256,
                            .created_at = clock_.Now(),
                            .target = std::string(target)};
  return {Kind::kIdempotency, key.id, std::nullopt, EncodeReplay(record)};
}

void Replays::Keep(const ReplayKey& key, const net::Response& response) {
  const ReplayRecord record{.id = key.id,
                            .request_sha256 = key.request_sha256,
                            .created_at = clock_.Now(),
                            .target = std::string(response.headers.Get("Location")),
                            .answer = Seal(EncodeAnswer(response), key.key, random_)};
  const store::Write write{Kind::kIdempotency, key.id, std::nullopt, EncodeReplay(record)};
  if (const auto done = store_.Commit({&write, 1}); !done) {
    LogLine(LogLevel::kWarning, "portal: an answer is not remembered: " + ToString(done.error()));
  }
}

void Replays::End(const ReplayKey& key) {
  serving_.With([&](auto& serving) { serving.erase(key.id); });
}

void Replays::Sweep() {
  const auto listing = store_.List(Kind::kIdempotency, "", 0);
  if (!listing) return;
  std::vector<store::Write> writes;
  for (const store::Object& object : listing->objects) {
    const auto record = DecodeReplay(object);
    if (record && record->created_at + kKeep > clock_.Now()) continue;
    writes.push_back({Kind::kIdempotency, object.id, object.version, std::nullopt});
    if (writes.size() == kSweepPage) break;
  }
  if (!writes.empty()) (void)store_.Commit(writes);
}

}  // namespace sluice::portal
