// SPDX-License-Identifier: Apache-2.0
#include "sim/plan.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/core.h>
#include <set>
#include <tuple>
#include <utility>

#include "base/random.h"
#include "sim/internal/timed_figures.h"

namespace sluice::sim {
namespace {

constexpr Duration kDay{24 * 3'600'000};
constexpr double kPriceMax = 1e6;

bool Ran(const PastClaim& past) {
  return !past.allocations.empty() && past.held_since != TimePoint() &&
         past.queued_since != TimePoint() && past.held_since >= past.queued_since &&
         past.ended_at > past.held_since;
}

double Days(Duration span) {
  return static_cast<double>(span.count()) / static_cast<double>(kDay.count());
}

std::string WhyTooLittle(const PlanHistory& history) {
  if (history.claims == 0) {
    return fmt::format("No claim has ended here yet; {} days and {} claims are needed.",
                       kPlanDaysNeeded,
                       kPlanClaimsNeeded);
  }
  if (history.days_missing > 0) {
    return fmt::format(
        "There are {:.1f} days of history; {} are needed, so that each day of the week is seen "
        "twice: {:.1f} are missing.",
        history.days,
        kPlanDaysNeeded,
        history.days_missing);
  }
  return fmt::format(
      "{} claims have ended here; {} are needed, so that ten are above the 95th percentile: {} are "
      "missing.",
      history.claims,
      kPlanClaimsNeeded,
      history.claims_missing);
}

PlanHistory HistoryOf(std::span<const PastClaim> past) {
  PlanHistory history;
  std::vector<Duration> waits;
  for (const PastClaim& one : past) {
    if (!Ran(one)) {
      ++history.never_held;
      continue;
    }
    if (history.claims == 0 || one.queued_since < history.from) history.from = one.queued_since;
    history.until = std::max(history.until, one.ended_at);
    waits.push_back(one.held_since - one.queued_since);
    ++history.claims;
  }
  history.wait = FiguresOf(std::move(waits));
  if (history.claims > 0) history.days = Days(history.until - history.from);
  history.days_missing = std::max(0.0, kPlanDaysNeeded - history.days);
  history.claims_missing = std::max<int64_t>(0, kPlanClaimsNeeded - history.claims);
  history.enough = history.days_missing <= 0 && history.claims_missing == 0;
  if (!history.enough) history.why = WhyTooLittle(history);
  return history;
}

std::string SizeOf(const ClaimRequest& request) {
  if (request.whole) {
    return request.count == 1 ? "whole card" : fmt::format("{} whole cards", request.count);
  }
  const std::string each = ToText(request.memory);
  return request.count == 1 ? each : fmt::format("{} cards with {}", request.count, each);
}

// Claims in the order of their coming, whatever order they were given in.
std::vector<TimedClaim> ClaimsOf(std::span<const PastClaim> past) {
  std::vector<const PastClaim*> ran;
  for (const PastClaim& one : past) {
    if (Ran(one)) ran.push_back(&one);
  }
  std::ranges::sort(
      ran, {}, [](const PastClaim* one) { return std::tie(one->queued_since, one->id); });
  std::vector<TimedClaim> claims;
  for (const PastClaim* one : ran) {
    const bool desktop = one->owner_kind == ClaimOwner::kDesktop;
    claims.push_back({.id = one->id,
                      .request = one->request,
                      .team = one->team,
                      .kind = desktop ? "desktop:" + one->template_id.text() : "run",
                      .size = SizeOf(one->request),
                      .arrives = one->queued_since,
                      .runs = one->ended_at - one->held_since});
  }
  return claims;
}

int64_t Below(SeededRandom& random, int64_t limit) {
  return static_cast<int64_t>(random.Next() % static_cast<uint64_t>(limit));
}

// Two weeks of days, each one that was seen, drawn anew.
std::vector<TimedClaim> DrawDays(const std::vector<TimedClaim>& seen, SeededRandom& random) {
  const TimePoint first = seen.front().arrives;
  std::map<int64_t, std::vector<const TimedClaim*>> by_day;
  for (const TimedClaim& claim : seen) by_day[(claim.arrives - first) / kDay].push_back(&claim);
  const int64_t days = by_day.rbegin()->first + 1;
  std::vector<TimedClaim> drawn;
  for (int64_t day = 0; day < kPlanDaysNeeded; ++day) {
    const int64_t from = Below(random, days);
    for (const TimedClaim* claim : by_day[from]) {
      drawn.push_back(*claim);
      drawn.back().arrives += kDay * (day - from);
    }
  }
  return drawn;
}

// So many claims in percent of those given; each one more comes within an hour of one that came.
std::vector<TimedClaim> Grow(const std::vector<TimedClaim>& claims,
                             int growth_pct,
                             SeededRandom& random) {
  constexpr int64_t kHour = 3'600'000;
  std::vector<TimedClaim> grown;
  for (const TimedClaim& claim : claims) {
    int64_t copies = growth_pct / 100;
    if (Below(random, 100) < growth_pct % 100) ++copies;
    for (int64_t i = 0; i < copies; ++i) {
      grown.push_back(claim);
      if (i > 0) grown.back().arrives += Duration(Below(random, 2 * kHour) - kHour);
    }
  }
  return grown;
}

// Ids that are unique again, in the order of coming.
void NameAnew(std::vector<TimedClaim>& claims) {
  std::ranges::stable_sort(claims, {}, &TimedClaim::arrives);
  for (size_t i = 0; i < claims.size(); ++i) claims[i].id = ClaimId(fmt::format("{:09}", i));
}

std::vector<Gpu> CardsForShares(std::span<const Gpu> gpus) {
  std::vector<Gpu> cards;
  for (const Gpu& gpu : gpus) {
    if (gpu.mode != GpuMode::kShared) continue;
    cards.push_back(gpu);
    cards.back().health = GpuHealth::kHealthy;
    cards.back().shares.clear();
  }
  return cards;
}

PlanFleet FleetOf(const std::vector<Gpu>& cards) {
  PlanFleet fleet{.cards = cards.size()};
  std::map<NodeId, std::map<Bytes, int>> machines;
  for (const Gpu& card : cards) {
    ++machines[card.node][card.memory];
    fleet.memory += card.memory;
  }
  fleet.machines = machines.size();
  std::map<std::string, int> alike;
  for (const auto& [node, groups] : machines) {
    for (const auto& [memory, count] : groups) {
      std::string size = ToText(memory);
      std::erase(size, ' ');
      ++alike[fmt::format("{}x{}", count, size)];
    }
  }
  for (const auto& [machine, count] : alike) {
    if (!fleet.text.empty()) fleet.text += ",";
    fleet.text += count == 1 ? machine : fmt::format("{}*{}", count, machine);
  }
  return fleet;
}

// What the question changes of what is asked for.
class Changes {
 public:
  Changes(const PlanQuestion& question, std::span<const PastClaim> past) : question_(question) {
    for (const PastClaim& one : past) idle_for_[one.id] = one.idle_for;
  }

  // Before claims are drawn from others.
  void TakeIdle(std::vector<TimedClaim>& claims, PlanAnswer& answer) const {
    if (!question_.idle) return;
    for (TimedClaim& claim : claims) {
      const Duration idle = idle_for_.at(claim.id);
      const Duration limit = *question_.idle;
      if (limit <= Duration(0) || idle <= limit) continue;
      claim.runs = std::max(claim.runs - (idle - limit), Duration(1));
      ++answer.ended_by_idle;
    }
  }

  void TakeShare(TimedClaim& claim) const {
    if (question_.share <= Bytes(0) || claim.request.whole) return;
    claim.request.memory = question_.share;
    claim.size = SizeOf(claim.request);
  }

 private:
  const PlanQuestion& question_;
  std::map<ClaimId, Duration> idle_for_;
};

// On a fleet that has none of the cards named, any card will do.
int64_t TakeAnyCard(std::vector<TimedClaim>& claims, const std::vector<Gpu>& cards) {
  std::set<std::string> models;
  std::set<std::string> vendors;
  std::set<GpuId> ids;
  for (const Gpu& card : cards) {
    models.insert(card.model);
    vendors.insert(card.vendor);
    ids.insert(card.id);
  }
  int64_t changed = 0;
  for (TimedClaim& claim : claims) {
    ClaimRequest& request = claim.request;
    const ClaimRequest before = request;
    if (!models.contains(request.gpu_model)) request.gpu_model.clear();
    if (!vendors.contains(request.vendor)) request.vendor.clear();
    std::erase_if(request.only, [&](const GpuId& id) { return !ids.contains(id); });
    changed += request == before ? 0 : 1;
  }
  return changed;
}

struct PlayedFleet {
  std::vector<Gpu> cards;
  double price_per_hour = 0;
  bool priced = false;
};

PlanRun Play(const PlanInput& input,
             const PlayedFleet& fleet,
             const std::vector<TimedClaim>& claims,
             const TimedOptions& options) {
  PlanRun run{.fleet = FleetOf(fleet.cards)};
  run.result = ReplayTimed(fleet.cards, input.teams, claims, options);
  for (const TimedOutcome& outcome : run.result.outcomes) {
    if (!outcome.refused.empty()) ++run.refused_why[outcome.refused];
  }
  if (fleet.priced) {
    PlanCost cost{.card_hours = run.result.hours * static_cast<double>(fleet.cards.size()),
                  .total = run.result.hours * fleet.price_per_hour};
    if (run.result.gpu_hours_held > 0)
      cost.per_useful_hour = cost.total / run.result.gpu_hours_held;
    run.cost = cost;
  }
  return run;
}

std::string LoadText(const PlanAnswer& answer, const PlanQuestion& question, bool drawn) {
  std::string text = drawn ? fmt::format("Synthetic: {} days drawn from the {:.1f} there are",
                                         kPlanDaysNeeded,
                                         answer.history.days)
                           : fmt::format("{}the claims of {:.1f} days",
                                         question.growth_pct == 100 ? "As it was: " : "Synthetic: ",
                                         answer.history.days);
  if (question.growth_pct != 100)
    text += fmt::format(", grown to {}% of what came", question.growth_pct);
  if (answer.synthetic) text += fmt::format(", seed {}", question.seed);
  return text + ".";
}

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

Result<PlanAnswer> Plan(const PlanInput& input,
                        const PlanQuestion& question,
                        const std::function<void(size_t done, size_t of)>& on_progress) {
  PlayedFleet today{.cards = CardsForShares(input.gpus), .priced = question.price > 0};
  today.price_per_hour = question.price * static_cast<double>(today.cards.size());
  PlayedFleet planned = today;
  if (!question.fleet.empty()) {
    auto parsed = ParseFleet(question.fleet, question.price);
    if (!parsed) return Fail(parsed.error());
    planned = {std::move(parsed->cards), parsed->price_per_hour, parsed->priced};
  }
  PlanAnswer answer{.history = HistoryOf(input.past)};
  const bool drawn = !answer.history.enough;
  if (answer.history.claims == 0 || (drawn && !question.synthetic)) return answer;
  answer.synthetic = drawn || question.growth_pct != 100;
  answer.load = LoadText(answer, question, drawn);

  const Changes changes(question, input.past);
  // Drawn twice from the same seed, so that both fleets are asked for the same.
  const auto load = [&](std::vector<TimedClaim> claims) {
    SeededRandom random(question.seed);
    if (drawn) claims = DrawDays(claims, random);
    if (question.growth_pct != 100) claims = Grow(claims, question.growth_pct, random);
    if (answer.synthetic) NameAnew(claims);
    return claims;
  };
  const std::vector<TimedClaim> as_it_was = ClaimsOf(input.past);
  if (static_cast<double>(as_it_was.size()) * question.growth_pct / 100 > kPlanClaimsMax) {
    return Fail(Code::kResourceExhausted,
                fmt::format("at most {} claims are played", kPlanClaimsMax));
  }
  std::vector<TimedClaim> before = load(as_it_was);
  std::vector<TimedClaim> other = as_it_was;
  changes.TakeIdle(other, answer);
  other = load(std::move(other));
  for (TimedClaim& claim : other) changes.TakeShare(claim);
  answer.claims = static_cast<int64_t>(before.size());
  TakeAnyCard(before, today.cards);
  answer.any_card = TakeAnyCard(other, planned.cards);

  TimedOptions options{.placement = input.placement, .looks_max = question.looks_max};
  const size_t all = before.size() + other.size();
  options.on_progress = [&](size_t done, size_t) {
    if (on_progress) on_progress(done, all);
  };
  answer.today = Play(input, today, before, options);
  options.on_progress = [&](size_t done, size_t) {
    if (on_progress) on_progress(before.size() + done, all);
  };
  if (question.policy) {
    options.placement = {.policy = *question.policy, .bounds = input.placement.bounds};
  }
  answer.planned = Play(input, planned, other, options);
  return answer;
}

}  // namespace sluice::sim
