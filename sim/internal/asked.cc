// SPDX-License-Identifier: Apache-2.0
#include "sim/internal/asked.h"

#include <algorithm>
#include <fmt/core.h>
#include <map>
#include <tuple>

namespace sluice::sim {
namespace {

// What control allows for the time from the start to where it can be used.
constexpr Duration kUsableWithin{120'000};
// A desktop that gave way waits again at once; what starts later was started by somebody.
constexpr Duration kWaitsAgainWithin{60'000};

std::string SizeOf(const ClaimRequest& request) {
  if (request.whole) {
    return request.count == 1 ? "whole card" : fmt::format("{} whole cards", request.count);
  }
  const std::string each = ToText(request.memory);
  return request.count == 1 ? each : fmt::format("{} cards with {}", request.count, each);
}

// In the order of their coming.
std::vector<const PastClaim*> RanOf(std::span<const PastClaim> past) {
  std::vector<const PastClaim*> ran;
  for (const PastClaim& one : past) {
    if (Ran(one)) ran.push_back(&one);
  }
  std::ranges::sort(
      ran, {}, [](const PastClaim* one) { return std::tie(one->queued_since, one->id); });
  return ran;
}

}  // namespace

bool Ran(const PastClaim& past) {
  return !past.allocations.empty() && past.held_since != TimePoint() &&
         past.queued_since != TimePoint() && past.held_since >= past.queued_since &&
         past.ended_at > past.held_since;
}

std::string SizeOf(const ClaimRequest& request, const std::vector<ClaimRequest>& more) {
  return more.empty() ? SizeOf(request)
                      : fmt::format("{}, the first of {} parts", SizeOf(request), more.size() + 1);
}

Asked AskedIn(std::span<const PastClaim> past) {
  struct Yielded {
    size_t claim = 0;
    TimePoint at;
  };
  std::map<DesktopId, Yielded> yielded;
  Asked asked;
  std::vector<TimedClaim>& claims = asked.claims;
  for (const PastClaim* one : RanOf(past)) {
    const auto before = yielded.find(one->desktop);
    const bool goes_on =
        before != yielded.end() && one->queued_since <= before->second.at + kWaitsAgainWithin;
    const size_t at = goes_on ? before->second.claim : claims.size();
    if (goes_on) {
      claims[at].runs += one->ended_at - one->held_since;
      asked.idle[at] = one->idle_for;
    } else {
      const bool desktop = one->owner_kind == ClaimOwner::kDesktop;
      claims.push_back({.id = one->id,
                        .request = one->request,
                        .more = one->more,
                        .team = one->team,
                        .user = one->user,
                        .kind = desktop ? "desktop:" + one->template_id.text() : "run",
                        .size = SizeOf(one->request, one->more),
                        .arrives = one->queued_since,
                        .runs = one->ended_at - one->held_since,
                        .run_for = one->run_for,
                        .usable_within = one->run_for > Duration(0) ? kUsableWithin : Duration(0),
                        .may_yield = desktop});
      asked.idle.push_back(one->idle_for);
    }
    if (one->gave_way && !one->desktop.empty()) {
      yielded[one->desktop] = {at, one->ended_at};
    } else if (before != yielded.end()) {
      yielded.erase(before);
    }
  }
  return asked;
}

}  // namespace sluice::sim
