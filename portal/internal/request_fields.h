// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "portal/internal/json_body.h"
#include "portal/internal/problem.h"
#include "store/store.h"

// What handlers read from a request besides its body.
namespace sluice::portal {

// A whole number from the query; `absent` when it is not there. Fails with kBadRequest.
OrProblem<int64_t> QueryInt(const net::Request& request,
                            std::string_view name,
                            IntRange range,
                            int64_t absent);
OrProblem<bool> QueryBool(const net::Request& request, std::string_view name, bool absent);
// RFC 3339 with "Z" or an offset; nullopt: it is not a time.
std::optional<TimePoint> ParseRfc3339(std::string_view text);
// Such a time; nullopt when it is not there.
OrProblem<std::optional<TimePoint>> QueryTime(const net::Request& request, std::string_view name);
// One word of the query that must be among `words`.
OrProblem<std::string> QueryWord(const net::Request& request,
                                 std::string_view name,
                                 std::span<const std::string_view> words,
                                 std::string_view absent);

struct PageRequest {
  size_t limit = 50;
  std::string after;  // The last id of the page before.
};
OrProblem<PageRequest> QueryPage(const net::Request& request);
// What `after` is read from again.
std::string CursorFor(std::string_view last_id);

// The version in If-Match. Fails with kPreconditionRequired or kBadRequest.
OrProblem<uint64_t> IfMatch(const net::Request& request);

// kStaleVersion unless the versions are equal.
OrProblem<void> CheckVersion(uint64_t wanted, uint64_t present);

}  // namespace sluice::portal
