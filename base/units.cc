// SPDX-License-Identifier: Apache-2.0
#include "base/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <fmt/chrono.h>
#include <fmt/core.h>

namespace sluice {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

struct Number {
  double value;
  std::string_view rest;
};

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

Result<Number> ParseNumber(std::string_view text) {
  text = Trim(text);
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(value) || value < 0) {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\" does not start with a number", text));
  }
  return Number{value, Trim(text.substr(static_cast<size_t>(end - text.data())))};
}

}  // namespace

std::string ToText(Bytes bytes) {
  struct Shown {
    std::string_view name;
    int64_t size;
    int64_t parts;  // Of the unit: the last digit.
  };
  static constexpr std::array<Shown, 4> kUnits = {{{"TiB", int64_t{1} << 40, 100},
                                                   {"GiB", int64_t{1} << 30, 100},
                                                   {"MiB", int64_t{1} << 20, 10},
                                                   {"KiB", int64_t{1} << 10, 10}}};
  const int64_t value = bytes.value();
  for (const auto& [name, size, parts] : kUnits) {
    if (value < size) continue;
    // The largest figure that ParseBytes, which cuts off parts of a byte, reads as no more than
    // this: "3.2GiB" is shown as 3.2, one byte less than 8 GiB as 7.99.
    const int64_t fraction = ((value % size + 1) * parts - 1) / size;
    std::string text = std::to_string(value / size);
    if (fraction != 0) {
      const bool tenths = parts == 10 || fraction % 10 == 0;
      text += tenths ? fmt::format(".{}", parts == 10 ? fraction : fraction / 10)
                     : fmt::format(".{:02}", fraction);
    }
    return fmt::format("{} {}", text, name);
  }
  return fmt::format("{} B", bytes.value());
}

Result<Bytes> ParseBytes(std::string_view text) {
  static constexpr std::array<Unit, 9> kUnits = {{{"", 1},
                                                  {"B", 1},
                                                  {"KiB", 0x1p10},
                                                  {"MiB", 0x1p20},
                                                  {"GiB", 0x1p30},
                                                  {"TiB", 0x1p40},
                                                  {"Ki", 0x1p10},
                                                  {"Mi", 0x1p20},
                                                  {"Gi", 0x1p30}}};
  const auto number = ParseNumber(text);
  if (!number) return Fail(number.error());
  for (const Unit& unit : kUnits) {
    if (number->rest != unit.name) continue;
    const double bytes = number->value * unit.factor;
    if (bytes > 0x1p62)
      return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is too large", text));
    return Bytes(static_cast<int64_t>(bytes));
  }
  return Fail(
      Code::kInvalidArgument,
      fmt::format("\"{}\" has no unit that is known; write binary units, such as 6GiB or 512MiB",
                  text));
}

Result<ComputeMillis> ParseCompute(std::string_view text) {
  const auto number = ParseNumber(text);
  if (!number) return Fail(number.error());
  const bool percent = number->rest == "%";
  if (!percent && !number->rest.empty()) {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is neither 30% nor 300", text));
  }
  const double millis = std::round(number->value * (percent ? 10.0 : 1.0));
  if (millis > 1000) {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is more than one whole GPU", text));
  }
  return ComputeMillis(static_cast<int64_t>(millis));
}

Result<Duration> ParseDuration(std::string_view text) {
  static constexpr std::array<Unit, 5> kUnits = {
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  const auto number = ParseNumber(text);
  if (!number) return Fail(number.error());
  for (const Unit& unit : kUnits) {
    if (number->rest != unit.name) continue;
    const double ms = number->value * unit.factor;
    if (ms > 3.2e12) return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is too long", text));
    return Duration(static_cast<int64_t>(ms));
  }
  return Fail(Code::kInvalidArgument, fmt::format("\"{}\" needs a unit: 90s, 15m, 2h or 1d", text));
}

std::string ToRfc3339(TimePoint time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto millis = (time - seconds).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     millis);
}

}  // namespace sluice
