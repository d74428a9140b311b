// SPDX-License-Identifier: Apache-2.0
// Prints what the pure core decides on fleets drawn by seeds, one decision a line. Built by two
// compilers; compilers_test compares what they print. Argument: how many seeds.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "scheduler/consolidate.h"
#include "scheduler/drawn_for_tests.h"
#include "scheduler/estimate.h"
#include "scheduler/fragment.h"
#include "scheduler/placer.h"
#include "scheduler/pod.h"
#include "scheduler/preempt.h"
#include "scheduler/queue.h"
#include "scheduler/rescue.h"
#include "scheduler/rescue_plan.h"
#include "scheduler/sluice_policy.h"
#include "sim/replay.h"
#include "sim/timed.h"

namespace sluice::scheduler {
namespace {

constexpr Duration kMinute{60'000};
const TimePoint kNow{Duration(1'000'000'000)};

// One line at a time; `what` names the part of the core.
void Say(const char* what, const std::string& line) {
  std::printf("%s %s\n", what, line.c_str());
}

std::string Text(TimePoint time) {
  return std::to_string(time.time_since_epoch().count());
}

std::string Text(const std::optional<TimePoint>& time) {
  return time ? Text(*time) : "-";
}

std::string Text(const Placement& placement) {
  std::string text = std::to_string(placement.node) + ":";
  for (const CardIndex card : placement.cards) text += " " + std::to_string(card);
  return text;
}

std::string Text(const std::vector<Allocation>& allocations) {
  std::string text;
  for (const Allocation& a : allocations) {
    text += " " + a.gpu.text() + "=" + std::to_string(a.memory.value()) + "/" +
            std::to_string(a.guarantee.value()) + "/" + std::to_string(a.cap.value());
  }
  return text;
}

std::string Text(const Decision& decision) {
  const auto* const placed = std::get_if<Placed>(&decision);
  return placed != nullptr ? Text(placed->allocations) : " " + Say(decision);
}

// Every bit of it.
std::string Text(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%a", value);
  return text;
}

// --- Nodes and cards: policies, fragments, rescues, explanations, pods ---

Mix SomeMix(Dice& dice, const std::vector<DemandIndex>& demands) {
  Mix mix;
  for (const DemandIndex demand : demands) mix.counts.emplace_back(demand, 1 + dice.Roll(20));
  return mix;
}

Targets SomeTargets(Dice& dice, const Ledger& ledger, const std::vector<DemandIndex>& demands) {
  Targets targets;
  targets.by_node.resize(ledger.nodes());
  for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
    const NodeState& state = ledger.node(node);
    for (int i = dice.Roll(5); i > 0; --i) {
      Berth berth{.demand =
                      demands[static_cast<size_t>(dice.Roll(static_cast<int>(demands.size())))]};
      const Demand& asked = ledger.demand(berth.demand);
      if (asked.count == 1 && !asked.whole && state.cards > 0) {
        berth.card = state.first_card + static_cast<CardIndex>(dice.Roll(state.cards));
      }
      targets.by_node[node].push_back(berth);
    }
  }
  return targets;
}

using MakePolicy =
    std::function<std::unique_ptr<Policy>(const Mix&, const Targets&, uint64_t seed)>;

std::vector<MakePolicy> EveryPolicy() {
  std::vector<MakePolicy> all = {
      [](const Mix&, const Targets&, uint64_t seed) { return MakeRandom(seed); },
      [](const Mix&, const Targets&, uint64_t) { return MakeFirstFit(); },
      [](const Mix&, const Targets&, uint64_t) { return MakeBestFit(); },
      [](const Mix&, const Targets&, uint64_t) { return MakePacking(); },
      [](const Mix&, const Targets&, uint64_t) { return MakeClustering(); },
      [](const Mix&, const Targets&, uint64_t) { return MakeDotProduct(); },
      [](const Mix&, const Targets&, uint64_t) { return MakeTightestCard(); },
      [](const Mix& mix, const Targets&, uint64_t) { return MakeFgd(mix); },
  };
  for (const SluiceLevers& levers : {SluiceLevers{},
                                     SluiceLevers{.own_berth = false},
                                     SluiceLevers{.free_room = false},
                                     SluiceLevers{.like_berth = false},
                                     SluiceLevers{.hold_back = true}}) {
    all.push_back([levers](const Mix& mix, const Targets& targets, uint64_t) {
      return MakeSluice(mix, targets, levers);
    });
  }
  return all;
}

void SayRescue(Rescuer& rescuer, DemandIndex demand, int moves_max) {
  const auto rescue = rescuer.Find(demand, moves_max);
  if (!rescue) return Say("rescue", "-");
  std::string line = Text(rescue->placement);
  for (const Move& move : rescue->moves) {
    line += ", " + std::to_string(move.binding) + " to " + Text(move.to);
  }
  Say("rescue", line);
}

// One thing after the other comes, goes, or falls out of service.
void OnePolicy(Dice& dice, uint64_t seed, const MakePolicy& make) {
  Ledger ledger = SomeLedger(dice, 8);
  const std::vector<DemandIndex> demands = SomeDemands(dice, ledger, 10);
  const Mix mix = SomeMix(dice, demands);
  const auto policy = make(mix, SomeTargets(dice, ledger, demands), seed);
  Placer placer(ledger, *policy);
  Rescuer rescuer(ledger, [](BindingIndex binding) { return binding % 3 != 0; });
  Fragments fragments(ledger, mix);
  const std::string name(policy->name());
  for (int step = 0; step < 60; ++step) {
    const DemandIndex demand = demands[static_cast<size_t>(dice.Roll(10))];
    Placement placement;
    if (dice.OneIn(5) && ledger.bindings() > 0) {
      const auto gone = static_cast<BindingIndex>(dice.Roll(static_cast<int>(ledger.bindings())));
      if (!ledger.binding(gone).live) continue;
      const Binding was = ledger.binding(gone);
      ledger.Release(gone);
      policy->OnReleased(ledger, was);
    } else if (dice.OneIn(20) && ledger.cards() > 0) {
      // Drawn one after the other: compilers evaluate arguments in orders of their own.
      const auto card = static_cast<CardIndex>(dice.Roll(static_cast<int>(ledger.cards())));
      const bool open = dice.OneIn(2);
      ledger.SetCardOpen(card, open);
    } else if (placer.Choose(demand, placement)) {
      ledger.Bind(demand, placement);
      policy->OnPlaced(ledger, demand, placement);
      Say(name.c_str(), Text(placement));
    } else {
      SayRescue(rescuer, demand, 1 + dice.Roll(2));
    }
  }
  for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
    Say("fragment", std::to_string(fragments.Now(ledger, node)));
  }
  for (const DemandIndex demand : demands) {
    Say("explain", ToWords(Explain(ledger, demand), ledger.demand(demand)));
  }
}

void SomePods(Dice& dice) {
  Ledger ledger = SomeLedger(dice, 6);
  const auto policy = MakeTightestCard();
  for (int i = 0; i < 12; ++i) {
    std::vector<Demand> containers;
    std::vector<Demand> inits;
    for (int n = dice.Roll(3); n >= 0; --n) containers.push_back(SomeDemand(dice));
    for (int n = dice.Roll(2); n > 0; --n) inits.push_back(SomeDemand(dice));
    for (std::vector<Demand>* all : {&containers, &inits}) {
      for (Demand& demand : *all) {
        demand.by_memory = false;
        demand.one_numa = false;
      }
    }
    const Pod pod = InternPod(ledger, containers, inits);
    const auto placed = PlacePod(ledger, *policy, pod);
    if (!placed) {
      Say("pod", "-");
      continue;
    }
    std::string line = std::to_string(placed->node) + ":";
    for (const Held& held : placed->held) {
      line += " " + std::to_string(held.card) + "=" + std::to_string(held.memory.value()) + "/" +
              std::to_string(held.compute.value());
    }
    Say("pod", line);
    BindPod(ledger, pod, *placed);
  }
}

// --- Rows of cards: decisions, the queue, who gives way, estimates, consolidation ---

PlacementRules SomeRules(Dice& dice) {
  PlacementRules rules{.policy = static_cast<PlacementPolicy>(dice.Roll(5))};
  for (int i = dice.Roll(4); i > 0; --i) {
    ClaimRequest request = Ask(MiB(256 * (1 + dice.Roll(40))));
    rules.expected.push_back({std::move(request), 1 + dice.Roll(9)});
  }
  return rules;
}

struct Scene {
  Snapshot fleet;
  std::vector<Team> teams;
  std::vector<Waiting> waiting;
  std::vector<Holder> holders;
  std::vector<Reservation> reservations;
  RunHistory history;

  QueueInput Input() const {
    return {.snapshot = fleet,
            .waiting = waiting,
            .holders = holders,
            .teams = teams,
            .now = kNow,
            .rules = {},
            .reservations = reservations};
  }
};

TeamId SomeTeam(Dice& dice) {
  static const char* const kTeams[] = {"", "x", "y"};
  return TeamId(kTeams[dice.Roll(3)]);
}

Scene SomeScene(Dice& dice) {
  static const char* const kKinds[] = {"short", "long"};
  Scene scene;
  scene.fleet = SomeFleet(dice);
  scene.fleet.rules = SomeRules(dice);
  for (const char* team : {"x", "y"}) {
    scene.teams.push_back({.id = TeamId(team),
                           .name = team,
                           .memory_guaranteed = GiB(dice.Roll(40)),
                           .memory_max = GiB(dice.OneIn(3) ? 40 : 0)});
  }
  for (const Gpu& gpu : scene.fleet.gpus) {
    for (const Share& share : gpu.shares) {
      Holder holder{.claim = share.claim, .team = SomeTeam(dice)};
      holder.preempt = static_cast<PreemptRule>(dice.Roll(3));
      holder.priority = dice.Roll(3);
      holder.held_since = kNow - dice.Roll(200) * kMinute;
      holder.kind = kKinds[dice.Roll(2)];
      holder.user = UserId("u" + std::to_string(dice.Roll(5)));
      holder.notice = dice.Roll(10) * kMinute;
      if (dice.OneIn(3)) holder.ends_at = kNow + Duration(dice.Roll(900) * 1'000);
      scene.holders.push_back(holder);
    }
  }
  for (int i = 1 + dice.Roll(5); i > 0; --i) {
    Waiting one{.id = ClaimId("w" + std::to_string(i)), .request = SomeRequest(dice)};
    one.team = SomeTeam(dice);
    one.queued_since = kNow - dice.Roll(100) * kMinute;
    one.run_for = dice.Roll(3) * 5 * kMinute;
    one.kind = kKinds[dice.Roll(2)];
    if (dice.OneIn(5)) one.more.push_back(SomeRequest(dice));
    scene.waiting.push_back(one);
  }
  if (dice.OneIn(4)) {
    const TimePoint starts = kNow + (dice.Roll(20) - 5) * kMinute;
    scene.reservations.push_back({.id = ReservationId("r"),
                                  .name = "course",
                                  .team = TeamId("x"),
                                  .count = 1 + dice.Roll(2),
                                  .memory = GiB(dice.Roll(2) * 8),
                                  .starts_at = starts,
                                  .ends_at = starts + 60 * kMinute});
  }
  for (int i = dice.Roll(60); i > 0; --i) {
    const char* const kind = kKinds[dice.Roll(2)];
    const Duration lasted = (1 + dice.Roll(300)) * kMinute;
    scene.history.Add(kind, {.lasted = lasted, .ended = !dice.OneIn(6)});
  }
  scene.history.Close();
  return scene;
}

void Queue(Dice& dice) {
  const Scene scene = SomeScene(dice);
  const QueueInput input = scene.Input();
  const std::vector<QueueAnswer> answers = WalkQueue(input);
  for (const QueueAnswer& answer : answers) {
    Say("queue",
        answer.id.text() + " " + std::to_string(answer.position) + " " + Text(answer.promised) +
            Text(answer.decision));
  }
  for (const Waiting& one : scene.waiting) Say("likely", Text(NextLikely(input, one)));
  if (const auto plan = PlanPreemption(input, answers)) {
    std::string line = plan->claim.text() + " at " + Text(plan->until) + Text(plan->placement);
    for (const ClaimId& victim : plan->victims) line += " for " + victim.text();
    Say("preempt", line);
  }
  for (const auto& [id, range] : EstimateStarts(input, scene.history, {.samples = 8})) {
    Say("estimate",
        id.text() + " " + Text(range.earliest) + " " + Text(range.likely) + " " +
            Text(range.latest));
  }
}

void Rows(Dice& dice) {
  Snapshot fleet = SomeFleet(dice);
  fleet.rules = SomeRules(dice);
  for (int i = 0; i < 4; ++i) {
    const ClaimRequest request = SomeRequest(dice);
    const Decision decision = Decide(fleet, request);
    Say("decide", Text(decision));
    const auto* const placed = std::get_if<Placed>(&decision);
    if (placed != nullptr) Apply(fleet, ClaimId("d" + std::to_string(i)), *placed);
  }
  std::vector<Movable> movable;
  for (const Gpu& gpu : fleet.gpus) {
    for (const Share& share : gpu.shares) {
      if (dice.OneIn(5)) continue;
      movable.push_back({.claim = share.claim,
                         .user = UserId("u" + std::to_string(dice.Roll(3))),
                         .request = Ask(share.memory)});
      movable.back().request.guarantee = share.guarantee;
    }
  }
  const ClaimRequest more = SomeRequest(dice);
  if (const auto plan = PlanRescue(fleet, more, movable, 1 + dice.Roll(2))) {
    std::string line = Text(plan->placement);
    for (const Relocation& move : plan->moves) line += ", " + move.claim.text() + Text(move.to);
    Say("rescue_plan", line);
  }
  const Consolidation plan = PlanConsolidation(fleet, movable, {.people_max = dice.Roll(5)});
  for (const Relocation& move : plan.moves) {
    Say("consolidate", move.claim.text() + Text(move.from) + " to" + Text(move.to));
  }
}

// --- Whole replays ---

sim::Variant SomeVariant(Dice& dice) {
  static const char* const kModels[] = {"A10", "T4"};
  sim::Variant variant{.name = "drawn"};
  for (int i = 0; i < 12; ++i) {
    variant.nodes.push_back({.name = "n" + std::to_string(i),
                             .cpu_milli = 32'000,
                             .memory_mib = 262'144,
                             .gpus = 1 + dice.Roll(8),
                             .model = kModels[dice.Roll(2)]});
  }
  for (int i = 0; i < 60; ++i) {
    sim::TracePod pod{.name = "p" + std::to_string(i)};
    pod.cpu_milli = 1000 * (1 + dice.Roll(8));
    pod.memory_mib = 1024 * (1 + dice.Roll(32));
    pod.gpus = dice.OneIn(6) ? 1 << dice.Roll(4) : 1;
    pod.gpu_milli = pod.gpus > 1 || dice.OneIn(4) ? 1000 : 10 * (1 + dice.Roll(99));
    if (dice.OneIn(4)) pod.models = {kModels[dice.Roll(2)]};
    variant.pods.push_back(pod);
  }
  return variant;
}

void Replayed(Dice& dice, uint64_t seed) {
  const sim::Variant variant = SomeVariant(dice);
  std::vector<int32_t> nodes;
  for (int32_t i = 0; i < static_cast<int32_t>(variant.nodes.size()); ++i) nodes.push_back(i);
  std::vector<int32_t> arrivals;
  for (int i = 0; i < 300; ++i) arrivals.push_back(dice.Roll(60));
  for (const std::string& name : sim::PolicyNames()) {
    sim::TraceFleet fleet = sim::MakeTraceFleet(variant, nodes);
    const auto policy = sim::MakePolicy(name, fleet, seed);
    const sim::ReplayResult result = sim::Replay(
        fleet,
        **policy,
        arrivals,
        {.seed = seed, .load_percent = 150, .moves_per_10000 = 300, .moves_at_once = 2});
    std::string line = name + " " + std::to_string(result.moves);
    for (const sim::Curve* curve : {&result.allocation_pct, &result.fragment_pct}) {
      for (const auto& [load, value] : *curve) line += " " + Text(value);
    }
    Say("replay", line);
  }
}

void Timed(Dice& dice) {
  std::vector<Gpu> fleet;
  for (int i = 0; i < 8; ++i) {
    fleet.push_back(On("n" + std::to_string(i / 4), Card("g" + std::to_string(i), GiB(24))));
  }
  std::vector<sim::TimedClaim> claims;
  for (int i = 0; i < 60; ++i) {
    sim::TimedClaim claim{.id = ClaimId("c" + std::to_string(100 + i))};
    claim.request = dice.OneIn(5) ? AskWhole(1 << dice.Roll(3)) : Ask(GiB(1 + dice.Roll(24)));
    claim.kind = dice.OneIn(2) ? "short" : "long";
    claim.size = "any";
    claim.arrives = TimePoint(kMinute * (1 + dice.Roll(200)));
    claim.runs = kMinute * (1 + dice.Roll(90));
    claims.push_back(claim);
  }
  for (const auto discipline : {sim::Discipline::kFifo, sim::Discipline::kQueue}) {
    const sim::TimedResult result =
        sim::ReplayTimed(fleet, {}, claims, {.discipline = discipline, .estimate_every = 7});
    for (const sim::TimedOutcome& one : result.outcomes) {
      Say("timed", Text(one.started) + Text(one.allocations) + one.refused);
    }
    Say("timed", Text(result.wait.mean_s) + " " + Text(result.gpu_hours_lost));
  }
}

int Main(uint64_t seeds) {
  const std::vector<MakePolicy> policies = EveryPolicy();
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    Say("seed", std::to_string(seed));
    Dice dice(seed);
    OnePolicy(dice, seed, policies[seed % policies.size()]);
    SomePods(dice);
    for (int i = 0; i < 5; ++i) Queue(dice);
    for (int i = 0; i < 5; ++i) Rows(dice);
    if (seed % 10 == 0) Replayed(dice, seed);
    if (seed % 20 == 0) Timed(dice);
  }
  return 0;
}

}  // namespace
}  // namespace sluice::scheduler

int main(int argc, char** argv) {
  return sluice::scheduler::Main(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100);
}
