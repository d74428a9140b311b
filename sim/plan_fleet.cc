// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <fmt/core.h>
#include <utility>

#include "sim/plan.h"

namespace sluice::sim {
namespace {

constexpr double kPriceMax = 1e6;

// "10*4x24GiB@1.20".
struct FleetEntry {
  int machines = 1;
  int cards = 0;
  Bytes memory;
  double price = 0;
};

// A whole number and the sign behind it, both taken off the text.
std::optional<int> TakeCount(std::string_view& text, char sign) {
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end == text.data() + text.size() || *end != sign || count < 1 ||
      count > kPlanCardsMax) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return count;
}

std::optional<FleetEntry> ReadEntry(std::string_view text, double price) {
  FleetEntry entry{.price = price};
  if (text.find('*') != text.npos) {
    const auto machines = TakeCount(text, '*');
    if (!machines) return std::nullopt;
    entry.machines = *machines;
  }
  const auto cards = TakeCount(text, 'x');
  if (!cards) return std::nullopt;
  entry.cards = *cards;
  const size_t sign = std::min(text.find('@'), text.size());
  const auto memory = ParseBytes(text.substr(0, sign));
  if (!memory || *memory < 1_MiB || *memory > 1024_GiB) return std::nullopt;
  entry.memory = *memory;
  if (sign == text.size()) return entry;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + sign + 1, end, entry.price);
  const bool sound =
      read.ec == std::errc() && read.ptr == end && entry.price >= 0 && entry.price <= kPriceMax;
  return sound ? std::optional(entry) : std::nullopt;
}

}  // namespace

Result<PlannedCards> ParseFleet(std::string_view text, double price) {
  PlannedCards fleet{.priced = true};
  int machines = 0;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string_view words = text.substr(at, end - at);
    at = end + 1;
    const auto entry = ReadEntry(words, price);
    if (!entry) {
      return Fail(
          Code::kInvalidArgument,
          fmt::format(
              "\"{}\" is no machine: write cards x memory, if you like with a number of such "
              "machines and a price per card-hour, as in 4x24GiB or 10*2x80GiB@1.20",
              words));
    }
    if (static_cast<size_t>(entry->machines) * static_cast<size_t>(entry->cards) +
            fleet.cards.size() >
        kPlanCardsMax) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("a planned fleet has {} cards at most", kPlanCardsMax));
    }
    if (entry->price <= 0) fleet.priced = false;
    fleet.price_per_hour += entry->price * entry->machines * entry->cards;
    for (int machine = 0; machine < entry->machines; ++machine, ++machines) {
      for (int i = 0; i < entry->cards; ++i) {
        fleet.cards.push_back({.id = GpuId(fmt::format("planned-{:04}/{:04}", machines, i)),
                               .node = NodeId(fmt::format("planned-{:04}", machines)),
                               .index = i,
                               .memory = entry->memory});
      }
    }
  }
  return fleet;
}

}  // namespace sluice::sim
