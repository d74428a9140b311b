// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "portal/internal/problem.h"

namespace sluice::portal {

inline constexpr int kJsonDepthMax = 32;
inline constexpr size_t kJsonBytesMax = 64 * 1024;

// Reads a request body: one JSON object, at most kJsonBytesMax bytes and kJsonDepthMax deep. Fails
// with kTooLarge or kMalformedJson.
OrProblem<nlohmann::json> ParseBody(std::string_view body);

// Whether brackets outside of strings nest deeper than `depth_max`. Looks at bytes only, so that no
// parser ever sees such a body.
bool NestsDeeper(std::string_view json, int depth_max);

struct IntRange {
  int64_t least = 0;
  int64_t most = 0;
};

using FieldErrors = std::vector<FieldError>;

// Takes the members of one object, strictly: what is missing, of another type, out of range or
// unknown is noted with its pointer in `errors`. A getter answers nullopt when the member is absent
// or wrong. Requires: object and errors outlive it. One thread at a time.
class FieldReader {
 public:
  FieldReader(const nlohmann::json& object, FieldErrors& errors, std::string prefix = "");

  // Text for programs: ids, passwords, commands; 1 to `characters_max` characters.
  std::optional<std::string> Text(std::string_view name, size_t characters_max);
  // Text for people: trimmed, without control and bidirectional characters (CleanDisplayText).
  std::optional<std::string> DisplayText(std::string_view name, size_t characters_max);
  std::optional<int64_t> Int(std::string_view name, IntRange range);
  std::optional<bool> Bool(std::string_view name);
  // A list of at most `most` whole numbers.
  std::optional<std::vector<int64_t>> Ints(std::string_view name, IntRange range, size_t most);
  std::optional<std::string> OneOf(std::string_view name, std::span<const std::string_view> words);
  // A non-empty list of different words.
  std::optional<std::vector<std::string>> SetOf(std::string_view name,
                                                std::span<const std::string_view> words);
  // Whether the member is there and null; it then counts as read.
  bool TakeNull(std::string_view name);
  std::optional<FieldReader> Object(std::string_view name);

  // Notes each of `names` that is absent.
  void Require(std::initializer_list<std::string_view> names);
  // Notes an error of the caller's own finding.
  void Reject(std::string_view name, std::string code, std::string detail);
  // Notes every member that no getter asked for. Call last, also on inner readers.
  void RejectUnknown();

 private:
  const nlohmann::json* Find(std::string_view name);
  std::string Pointer(std::string_view name) const;

  const nlohmann::json* object_;
  FieldErrors* errors_;
  std::string prefix_;
  std::vector<std::string> known_;
};

// kInvalidField with everything noted. Requires: errors is not empty.
tl::unexpected<Problem> NoFields(FieldErrors errors);

// Characters in UTF-8 text.
size_t CountCharacters(std::string_view utf8);

}  // namespace sluice::portal
