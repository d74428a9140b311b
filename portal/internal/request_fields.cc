// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/request_fields.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fmt/format.h>

#include "portal/internal/secrets.h"

namespace sluice::portal {
namespace {

constexpr size_t kCursorMax = 200;

bool Has(const net::Request& request, std::string_view name) {
  return std::ranges::any_of(request.query,
                             [name](const auto& pair) { return pair.first == name; });
}

tl::unexpected<Problem> NoQuery(std::string_view name, std::string detail) {
  return NoField(ProblemCode::kBadRequest, "?" + std::string(name), std::move(detail));
}

template <typename T>
std::optional<T> Number(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || text.empty()) return std::nullopt;
  return value;
}

// Two digits at `at` followed by `then` (0: the end does not matter).
std::optional<int> Digits(std::string_view text, size_t at, size_t count) {
  if (at + count > text.size()) return std::nullopt;
  const std::string_view part = text.substr(at, count);
  if (!std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  return Number<int>(part);
}

// The offset behind a time: "Z", "+08:00".
std::optional<std::chrono::minutes> Offset(std::string_view text) {
  if (text == "Z" || text == "z") return std::chrono::minutes(0);
  const auto hours = Digits(text, 1, 2);
  const auto minutes = Digits(text, 4, 2);
  if (text.size() != 6 || text[3] != ':' || !hours || !minutes || *hours > 23 || *minutes > 59) {
    return std::nullopt;
  }
  if (text[0] != '+' && text[0] != '-') return std::nullopt;
  const std::chrono::minutes size(*hours * 60 + *minutes);
  return text[0] == '-' ? -size : size;
}

}  // namespace

std::optional<TimePoint> ParseRfc3339(std::string_view text) {
  constexpr size_t kSecondsEnd = 19;  // "2026-11-22T18:00:00".
  const auto year = Digits(text, 0, 4);
  const auto month = Digits(text, 5, 2);
  const auto day = Digits(text, 8, 2);
  const auto hour = Digits(text, 11, 2);
  const auto minute = Digits(text, 14, 2);
  const auto second = Digits(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  if (text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':') return std::nullopt;
  if (text[10] != 'T' && text[10] != 't' && text[10] != ' ') return std::nullopt;
  if (*hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  std::string_view rest = text.substr(kSecondsEnd);
  int ms = 0;
  if (rest.starts_with('.')) {
    const size_t end = std::min(rest.find_first_not_of("0123456789", 1), rest.size());
    if (end < 2) return std::nullopt;
    for (size_t i = 1; i <= 3; ++i) ms = 10 * ms + (i < end ? rest[i] - '0' : 0);
    rest.remove_prefix(end);
  }
  const auto offset = Offset(rest);
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!offset || !date.ok()) return std::nullopt;
  return TimePoint(std::chrono::sys_days(date).time_since_epoch()) + std::chrono::hours(*hour) +
         std::chrono::minutes(*minute) + std::chrono::seconds(*second) + Duration(ms) - *offset;
}

OrProblem<int64_t> QueryInt(const net::Request& request,
                            std::string_view name,
                            IntRange range,
                            int64_t absent) {
  if (!Has(request, name)) return absent;
  const auto value = Number<int64_t>(request.Query(name));
  if (!value || *value < range.least || *value > range.most) {
    return NoQuery(
        name,
        fmt::format("{} must be a whole number from {} to {}.", name, range.least, range.most));
  }
  return *value;
}

OrProblem<bool> QueryBool(const net::Request& request, std::string_view name, bool absent) {
  if (!Has(request, name)) return absent;
  const std::string_view text = request.Query(name);
  if (text != "true" && text != "false") {
    return NoQuery(name, fmt::format("{} must be true or false.", name));
  }
  return text == "true";
}

OrProblem<std::optional<TimePoint>> QueryTime(const net::Request& request, std::string_view name) {
  if (!Has(request, name)) return std::optional<TimePoint>();
  const auto time = ParseRfc3339(request.Query(name));
  if (!time) {
    return NoQuery(name, fmt::format("{} must be a time like 2026-11-22T18:00:00Z.", name));
  }
  return time;
}

OrProblem<std::string> QueryWord(const net::Request& request,
                                 std::string_view name,
                                 std::span<const std::string_view> words,
                                 std::string_view absent) {
  if (!Has(request, name)) return std::string(absent);
  const std::string_view text = request.Query(name);
  if (std::ranges::find(words, text) == words.end()) {
    return NoQuery(name, fmt::format("{} must be one of: {}.", name, fmt::join(words, ", ")));
  }
  return std::string(text);
}

OrProblem<PageRequest> QueryPage(const net::Request& request) {
  PageRequest page;
  const auto limit = QueryInt(request, "limit", {1, 200}, 50);
  if (!limit) return tl::unexpected(limit.error());
  page.limit = static_cast<size_t>(*limit);
  if (Has(request, "cursor")) {
    const std::string_view cursor = request.Query("cursor");
    auto after = FromBase64Url(cursor);
    if (!after || after->empty() || cursor.size() > kCursorMax) {
      return NoField(
          ProblemCode::kInvalidField, "?cursor", "The cursor is not one that a page gave.");
    }
    page.after = std::move(*after);
  }
  return page;
}

std::string CursorFor(std::string_view last_id) {
  return ToBase64Url(last_id);
}

OrProblem<uint64_t> IfMatch(const net::Request& request) {
  const std::string_view text = request.headers.Get("If-Match");
  if (text.empty()) {
    return No(ProblemCode::kPreconditionRequired,
              "Send If-Match with the ETag of the object as you know it.");
  }
  const bool quoted = text.size() > 2 && text.front() == '"' && text.back() == '"';
  const auto version = quoted ? Number<uint64_t>(text.substr(1, text.size() - 2)) : std::nullopt;
  if (!version) {
    return No(ProblemCode::kBadRequest, "If-Match must be one ETag that a GET answered.");
  }
  return *version;
}

OrProblem<void> CheckVersion(uint64_t wanted, uint64_t present) {
  if (wanted == present) return {};
  return No(ProblemCode::kStaleVersion,
            fmt::format("It is at version {} now, you have {}. Read it again.", present, wanted));
}

}  // namespace sluice::portal
