// SPDX-License-Identifier: Apache-2.0
#include "sim/plan.h"

#include <algorithm>
#include <fmt/core.h>
#include <set>
#include <utility>

#include "base/random.h"
#include "sim/internal/asked.h"
#include "sim/internal/timed_figures.h"

namespace sluice::sim {
namespace {

constexpr Duration kDay{24 * 3'600'000};

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

// Requires: no claim was drawn from another yet.
std::vector<TimedClaim> EndedByIdle(Asked asked, Duration limit, PlanAnswer& answer) {
  for (size_t i = 0; i < asked.claims.size(); ++i) {
    const Duration beyond = asked.idle[i] - limit;
    if (limit <= Duration(0) || beyond <= Duration(0)) continue;
    asked.claims[i].runs = std::max(asked.claims[i].runs - beyond, Duration(1));
    ++answer.ended_by_idle;
  }
  return std::move(asked.claims);
}

void TakeShare(TimedClaim& claim, Bytes share) {
  if (share <= Bytes(0)) return;
  if (!claim.request.whole) claim.request.memory = share;
  for (ClaimRequest& part : claim.more) {
    if (!part.whole) part.memory = share;
  }
  claim.size = SizeOf(claim.request, claim.more);
}

// What of a fleet can be named.
struct Named {
  std::set<std::string> models;
  std::set<std::string> vendors;
  std::set<GpuId> ids;
  std::set<PoolId> pools;

  explicit Named(const std::vector<Gpu>& cards) {
    for (const Gpu& card : cards) {
      models.insert(card.model);
      vendors.insert(card.vendor);
      ids.insert(card.id);
      pools.insert(card.pool);
    }
  }

  // On a fleet that has none of the cards named, any card will do.
  bool TakeAny(ClaimRequest& request) const {
    const ClaimRequest before = request;
    if (!models.contains(request.gpu_model)) request.gpu_model.clear();
    if (!vendors.contains(request.vendor)) request.vendor.clear();
    std::erase_if(request.only, [&](const GpuId& id) { return !ids.contains(id); });
    return request != before;
  }
  int64_t TakeAny(std::vector<TimedClaim>& claims) const {
    int64_t changed = 0;
    for (TimedClaim& claim : claims) {
      bool any = TakeAny(claim.request);
      for (ClaimRequest& part : claim.more) any = TakeAny(part) || any;
      changed += any ? 1 : 0;
    }
    return changed;
  }
  std::vector<Reservation> TakeAny(std::vector<Reservation> reservations) const {
    for (Reservation& one : reservations) {
      if (!models.contains(one.gpu_model)) one.gpu_model.clear();
      if (!pools.contains(one.pool)) one.pool = PoolId();
    }
    return reservations;
  }
};

// Those that were in force while the claims came and went.
std::vector<Reservation> ReservationsOf(const PlanInput& input, const PlanHistory& history) {
  std::vector<Reservation> in_force;
  for (const Reservation& one : input.reservations) {
    const TimePoint over =
        one.removed_at == TimePoint() ? one.ends_at : std::min(one.ends_at, one.removed_at);
    if (one.created_at < history.until && over > history.from) in_force.push_back(one);
  }
  std::ranges::sort(in_force, {}, &Reservation::id);
  return in_force;
}

PoolId MostCommonPool(std::span<const Gpu> gpus) {
  std::map<PoolId, int> cards;
  for (const Gpu& gpu : gpus) {
    if (gpu.mode == GpuMode::kShared) ++cards[gpu.pool];
  }
  const auto most =
      std::ranges::max_element(cards, {}, [](const auto& pool) { return pool.second; });
  return most == cards.end() ? PoolId() : most->first;
}

struct PlayedFleet {
  std::vector<Gpu> cards;
  double price_per_hour = 0;
  bool priced = false;
  PlanRules rules;
  std::vector<Pool> pools;
  std::vector<Reservation> reservations;
};

// The rules of today, or as the question wants them.
void SetRules(PlayedFleet& fleet, const PlanInput& input, const PlanQuestion& question) {
  const Pool first = input.pools.empty() ? Pool() : input.pools.front();
  fleet.rules = {
      .policy = question.policy.value_or(input.placement.policy),
      .overcommit_pct = question.overcommit_pct.value_or(first.compute_overcommit_percent),
      .preempt = question.preempt.value_or(first.preempt)};
  for (Gpu& card : fleet.cards) {
    card.compute = ComputeMillis(card.compute.value() * fleet.rules.overcommit_pct / 100);
  }
  fleet.pools.assign(input.pools.begin(), input.pools.end());
  if (!question.preempt) return;
  if (fleet.pools.empty()) fleet.pools.emplace_back();  // For cards of no pool.
  for (Pool& pool : fleet.pools) pool.preempt = *question.preempt;
}

PlanRun Play(const PlanInput& input,
             const PlayedFleet& fleet,
             const std::vector<TimedClaim>& claims,
             TimedOptions options) {
  PlanRun run{.fleet = FleetOf(fleet.cards), .rules = fleet.rules};
  options.pools = fleet.pools;
  options.reservations = fleet.reservations;
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

// What is asked for, of today's cards and of the others.
struct Load {
  std::vector<TimedClaim> before;
  std::vector<TimedClaim> other;
};

Result<Load> LoadFor(const PlanInput& input, const PlanQuestion& question, PlanAnswer& answer) {
  const bool drawn = !answer.history.enough;
  // Drawn twice from the same seed, so that both fleets are asked for the same.
  const auto draw = [&](std::vector<TimedClaim> claims) {
    SeededRandom random(question.seed);
    if (drawn) claims = DrawDays(claims, random);
    if (question.growth_pct != 100) claims = Grow(claims, question.growth_pct, random);
    if (answer.synthetic) NameAnew(claims);
    return claims;
  };
  Asked asked = AskedIn(input.past);
  if (static_cast<double>(asked.claims.size()) * question.growth_pct / 100 > kPlanClaimsMax) {
    return Fail(Code::kResourceExhausted,
                fmt::format("at most {} claims are played", kPlanClaimsMax));
  }
  Load load{.before = draw(asked.claims), .other = {}};
  load.other = draw(EndedByIdle(std::move(asked), question.idle.value_or(Duration(0)), answer));
  for (TimedClaim& claim : load.other) TakeShare(claim, question.share);
  answer.claims = static_cast<int64_t>(load.before.size());
  answer.in_parts = std::ranges::count_if(
      load.before, [](const TimedClaim& claim) { return !claim.more.empty(); });
  return load;
}

PlayedFleet TodaysFleet(const PlanInput& input, const PlanQuestion& question) {
  PlayedFleet today{.cards = CardsForShares(input.gpus), .priced = question.price > 0};
  today.price_per_hour = question.price * static_cast<double>(today.cards.size());
  return today;
}

Result<PlayedFleet> PlannedFleet(const PlanInput& input,
                                 const PlanQuestion& question,
                                 const PlayedFleet& today) {
  if (question.fleet.empty()) return today;
  auto parsed = ParseFleet(question.fleet, question.price);
  if (!parsed) return Fail(parsed.error());
  PlayedFleet planned{.cards = std::move(parsed->cards),
                      .price_per_hour = parsed->price_per_hour,
                      .priced = parsed->priced};
  const PoolId pool = MostCommonPool(input.gpus);
  for (Gpu& card : planned.cards) card.pool = pool;
  return planned;
}

}  // namespace

Result<PlanAnswer> Plan(const PlanInput& input,
                        const PlanQuestion& question,
                        const std::function<void(size_t done, size_t of)>& on_progress) {
  PlayedFleet today = TodaysFleet(input, question);
  auto planned = PlannedFleet(input, question, today);
  if (!planned) return Fail(planned.error());
  SetRules(today, input, {});
  SetRules(*planned, input, question);
  PlanAnswer answer{.history = HistoryOf(input.past)};
  const bool drawn = !answer.history.enough;
  if (answer.history.claims == 0 || (drawn && !question.synthetic)) return answer;
  answer.synthetic = drawn || question.growth_pct != 100;
  answer.load = LoadText(answer, question, drawn);

  auto load = LoadFor(input, question, answer);
  if (!load) return Fail(load.error());
  const Named now(today.cards);
  const Named then(planned->cards);
  now.TakeAny(load->before);
  answer.any_card = then.TakeAny(load->other);
  if (!drawn) {
    const std::vector<Reservation> in_force = ReservationsOf(input, answer.history);
    answer.reservations = static_cast<int64_t>(in_force.size());
    today.reservations = now.TakeAny(in_force);
    planned->reservations = then.TakeAny(in_force);
  }

  TimedOptions options{.placement = input.placement, .looks_max = question.looks_max};
  const size_t all = load->before.size() + load->other.size();
  options.on_progress = [&](size_t done, size_t) {
    if (on_progress) on_progress(done, all);
  };
  answer.today = Play(input, today, load->before, options);
  options.on_progress = [&](size_t done, size_t) {
    if (on_progress) on_progress(load->before.size() + done, all);
  };
  if (question.policy) {
    options.placement = {.policy = *question.policy, .bounds = input.placement.bounds};
  }
  answer.planned = Play(input, *planned, load->other, options);
  return answer;
}

}  // namespace sluice::sim
