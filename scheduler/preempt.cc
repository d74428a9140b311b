// SPDX-License-Identifier: Apache-2.0
#include "scheduler/preempt.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "scheduler/internal/bounds.h"
#include "scheduler/internal/gang.h"
#include "scheduler/internal/holdings.h"
#include "scheduler/internal/reserved.h"

namespace sluice::scheduler {
namespace {

using internal::Card;
using internal::Part;

constexpr Duration kPersonDisturbed{60 * 60'000};

// Who may have to go, with where it holds cards.
struct Candidate {
  const Holder* holder = nullptr;
  const std::vector<Part>* parts = nullptr;
  Bytes memory;
};

// See PlanPreemption. Grows with each candidate that is added to a set, whatever it is.
struct Loss {
  int priority = std::numeric_limits<int>::min();
  int64_t borrows_less = std::numeric_limits<int64_t>::min();
  int64_t time = 0;
  std::vector<ClaimId> claims;

  friend auto operator<=>(const Loss&, const Loss&) = default;
};

// The waiting claim that somebody may have to go for.
struct First {
  const Waiting* waiting = nullptr;
  bool guaranteed = false;  // Within what its team is guaranteed.
};

std::map<TeamId, Bytes> Guarantees(const QueueInput& input) {
  std::map<TeamId, Bytes> guaranteed;
  for (const Team& team : input.teams) guaranteed[team.id] = team.memory_guaranteed;
  return guaranteed;
}

// A claim of several parts is looked for among all cards, not on one of them: sets that are looked
// at for it count as so many more.
int64_t CostOf(const Waiting& one, size_t cards) {
  const size_t parts = one.more.size() + 1;
  return one.more.empty() ? 1 : 1 + static_cast<int64_t>(parts * cards / 8);
}

// The search among the candidates of one place: a card, a machine if several cards are asked for,
// or all cards for a claim of several parts.
class Search {
 public:
  Search(const QueueInput& input, const First& first, std::vector<Card> cards)
      : now_(input.now),
        first_(first),
        cards_(std::move(cards)),
        cost_(CostOf(*first.waiting, cards_.size())),
        guaranteed_(Guarantees(input)) {
    const Demand demand = internal::ToDemand(first.waiting->request);
    for (const Card& card : cards_) {
      needs_.push_back(NeedOn(demand, internal::KindOf(*card.gpu)));
      if (!TakesName(demand, card.gpu->id)) needs_.back().admitted = false;
    }
  }

  // What the candidates' teams hold, without those that are about to end anyway.
  void SetHeld(std::map<TeamId, Bytes> held) { held_ = std::move(held); }

  void LookAt(std::vector<size_t> place, std::vector<Candidate> candidates, int64_t& sets_left) {
    place_ = std::move(place);
    candidates_ = std::move(candidates);
    std::ranges::sort(candidates_, {}, [&](const Candidate& one) { return LossOf({one}); });
    for (const Candidate& one : candidates_) Remove(one);
    const bool possible = Fits();
    if (possible && !first_.waiting->more.empty()) BeginWithAll();
    for (const Candidate& one : candidates_) PutBack(one);
    if (possible) Try(0, sets_left);
  }

  const std::vector<Candidate>& best() const { return best_; }
  const std::vector<size_t>& best_place() const { return best_place_; }

 private:
  // How much the team would hold beyond its guarantee if the chosen ones were gone and `one` back.
  int64_t BorrowedWith(const Candidate& one) const {
    const TeamId& team = one.holder->team;
    const auto guaranteed = guaranteed_.find(team);
    Bytes held = held_.at(team) + one.memory;
    for (const Candidate& gone : chosen_) {
      if (gone.holder->team == team) held -= gone.memory;
    }
    const bool none = team.empty() || guaranteed == guaranteed_.end();
    return (held - (none ? Bytes(0) : guaranteed->second)).value();
  }

  bool Valid() const {
    return std::ranges::all_of(chosen_, [&](const Candidate& one) {
      return one.holder->team == first_.waiting->team || BorrowedWith(one) > 0;
    });
  }

  Loss LossOf(const std::vector<Candidate>& set) const {
    Loss loss;
    std::set<UserId> people;
    for (const Candidate& one : set) {
      const auto guaranteed = guaranteed_.find(one.holder->team);
      const Bytes own = guaranteed == guaranteed_.end() ? Bytes(0) : guaranteed->second;
      loss.priority = std::max(loss.priority, one.holder->priority);
      loss.borrows_less = std::max(loss.borrows_less, (own - held_.at(one.holder->team)).value());
      loss.time += 1 + std::max<int64_t>((now_ - one.holder->held_since).count(), 0);
      const bool fresh = one.holder->user.empty() || people.insert(one.holder->user).second;
      if (fresh) loss.time += kPersonDisturbed.count();
      loss.claims.push_back(one.holder->claim);
    }
    std::ranges::sort(loss.claims);
    return loss;
  }

  // An answer to begin with, where sets are too many to look at each: of all candidates, those that
  // lose most stay as far as possible. Requires: all are removed.
  void BeginWithAll() {
    chosen_ = candidates_;
    const std::vector<Candidate> needed = Needed();
    chosen_ = needed;
    if (Valid()) Keep(needed);
    chosen_.clear();
  }

  void Try(size_t next, int64_t& sets_left) {
    for (size_t i = next; i < candidates_.size() && sets_left > 0; ++i) {
      sets_left -= cost_;
      chosen_.push_back(candidates_[i]);
      // A larger set loses more, and is no more within the rules.
      if ((best_.empty() || LossOf(chosen_) < least_) && Valid()) {
        Remove(candidates_[i]);
        if (Fits()) {
          Keep(Needed());
        } else {
          Try(i + 1, sets_left);
        }
        PutBack(candidates_[i]);
      }
      chosen_.pop_back();
    }
  }

  // The chosen ones that are needed, each one. Requires: all of them are removed, as they are after
  // it.
  std::vector<Candidate> Needed() {
    std::vector<Candidate> needed = chosen_;
    // Several parts may sit so that room is found without one who was needed a moment ago.
    for (size_t before = needed.size() + 1; before != needed.size();) {
      before = needed.size();
      for (size_t i = needed.size(); i-- > 0;) {
        PutBack(needed[i]);
        if (Fits()) {
          needed.erase(needed.begin() + static_cast<std::ptrdiff_t>(i));
        } else {
          Remove(needed[i]);
        }
      }
    }
    for (const Candidate& one : needed) PutBack(one);
    for (const Candidate& one : chosen_) Remove(one);
    return needed;
  }

  void Keep(std::vector<Candidate> needed) {
    Loss loss = LossOf(needed);
    if (!best_.empty() && loss >= least_) return;
    best_ = std::move(needed);
    best_place_ = place_;
    least_ = std::move(loss);
  }

  bool Fits() const {
    const ClaimRequest& request = first_.waiting->request;
    if (!first_.waiting->more.empty())
      return internal::SeatAll(cards_, *first_.waiting).has_value();
    int idle_left = internal::BudgetFor(cards_, request.whole);
    const auto fitting = std::ranges::count_if(place_, [&](size_t i) {
      return NeedFits(needs_[i], internal::StateOf(cards_[i])) &&
             (cards_[i].shares > 0 || idle_left-- > 0);
    });
    return fitting >= request.count;
  }

  void Remove(const Candidate& one) {
    for (const Part& part : *one.parts) internal::GiveBack(cards_[part.card], part.share);
  }
  void PutBack(const Candidate& one) {
    for (const Part& part : *one.parts) {
      internal::Take(cards_[part.card], ToAllocation(cards_[part.card].gpu->id, part.share));
    }
  }

  TimePoint now_;
  const First& first_;
  std::vector<Card> cards_;
  int64_t cost_;  // Of a set.
  std::vector<Need> needs_;
  std::map<TeamId, Bytes> guaranteed_;
  std::map<TeamId, Bytes> held_;
  std::vector<size_t> place_;
  std::vector<Candidate> candidates_;
  std::vector<Candidate> chosen_;
  std::vector<Candidate> best_;
  std::vector<size_t> best_place_;
  Loss least_;
};

bool MayEnd(const Holder& holder, const First& first) {
  const bool lower = holder.preempt == PreemptRule::kLowerPriority &&
                     holder.priority < first.waiting->request.priority;
  if (holder.preempt == PreemptRule::kNever) return false;
  // What of another team's it is, borrowed or not, is for the whole set to say.
  return lower || (first.guaranteed && holder.team != first.waiting->team);
}

First FirstOf(const QueueInput& input, std::span<const QueueAnswer> answers) {
  std::map<TeamId, Bytes> held = internal::HeldByTeam(input);
  for (const QueueAnswer& answer : answers) {
    if (answer.over_quota || std::holds_alternative<Never>(answer.decision)) continue;
    const auto one = std::ranges::find(input.waiting, answer.id, &Waiting::id);
    if (one == input.waiting.end()) return {};
    if (const auto* placed = std::get_if<Placed>(&answer.decision)) {
      held[one->team] += internal::MemoryOf(placed->allocations);
      continue;
    }
    const auto team = std::ranges::find(input.teams, one->team, &Team::id);
    const Bytes then = held[one->team] + internal::MemoryAskedByAll(*one);
    return {&*one, team != input.teams.end() && then <= team->memory_guaranteed};
  }
  return {};
}

// The candidates by place: a card, a machine, or all cards.
using Places =
    std::map<std::pair<NodeId, GpuId>, std::pair<std::vector<size_t>, std::vector<Candidate>>>;

Places PlacesOf(std::span<const Card> cards,
                const Waiting& first,
                std::span<const Candidate> candidates) {
  const bool several = first.request.count > 1;
  const bool anywhere = !first.more.empty();
  std::vector<std::pair<NodeId, GpuId>> place_of;
  Places places;
  for (const Card& card : cards) {
    place_of.emplace_back(anywhere ? NodeId() : card.gpu->node,
                          anywhere || several ? GpuId() : card.gpu->id);
    const size_t index = place_of.size() - 1;
    places[place_of.back()].first.push_back(index);
  }
  for (const Candidate& one : candidates) {
    std::set<std::pair<NodeId, GpuId>> at;
    for (const Part& part : *one.parts) at.insert(place_of[part.card]);
    for (const auto& place : at) places[place].second.push_back(one);
  }
  return places;
}

// The cards as they will be when the notice is over, if nobody is ended.
class Then {
 public:
  Then(const QueueInput& input, std::span<const QueueAnswer> answers, const First& first)
      : input_(input),
        first_(first),
        cards_(internal::ToCards(input.snapshot)),
        holdings_(internal::HoldingsOf(cards_)),
        held_(internal::HeldByTeam(input)),
        until_(input.now) {
    for (const QueueAnswer& answer : answers) {
      const auto* placed = std::get_if<Placed>(&answer.decision);
      if (placed != nullptr) internal::TakeAll(cards_, placed->allocations);
    }
    FindCandidates();
  }

  std::optional<Preemption> Plan(const PreemptLimits& limits) {
    const Waiting& first = *first_.waiting;
    if (candidates_.empty() || internal::SeatAll(cards_, first)) return std::nullopt;
    Search search(input_, first_, cards_);
    search.SetHeld(held_);
    int64_t sets_left = limits.sets_max;
    for (auto& [place, at] : PlacesOf(cards_, first, candidates_)) {
      if (!at.second.empty()) search.LookAt(at.first, at.second, sets_left);
    }
    if (search.best().empty()) return std::nullopt;
    Preemption plan{.claim = first.id, .victims = {}, .placement = {}, .until = until_};
    for (const Candidate& one : search.best()) plan.victims.push_back(one.holder->claim);
    std::ranges::sort(plan.victims);
    for (const ClaimId& victim : plan.victims) {
      internal::GiveBackAll(cards_, holdings_, victim);
    }
    for (Card& card : cards_) card.kept = true;
    for (const size_t i : search.best_place()) cards_[i].kept = false;
    const std::vector<internal::Seat> seats = *internal::SeatAll(cards_, first);
    plan.placement = internal::PlacedOn(seats).allocations;
    // What the reservations keep is not what somebody is ended for.
    const internal::Reserved reserved(input_);
    const bool leaves = reserved.empty() || reserved.Leaves({cards_, until_, true}, first, seats);
    return leaves ? std::optional(plan) : std::nullopt;
  }

 private:
  bool IsDue(const Holder& one) const {
    return one.ends_at != TimePoint() && one.ends_at <= until_;
  }

  void FindCandidates() {
    for (const Holder& holder : input_.holders) {
      const auto parts = holdings_.find(holder.claim);
      if (parts == holdings_.end() || !MayEnd(holder, first_)) continue;
      candidates_.push_back({&holder, &parts->second, MemoryOf(parts->second)});
      until_ = std::max(until_, input_.now + holder.notice);
    }
    // Who is due by then ends without a word of ours.
    std::erase_if(candidates_, [&](const Candidate& one) { return IsDue(*one.holder); });
    for (const Holder& holder : input_.holders) {
      const auto parts = holdings_.find(holder.claim);
      if (parts == holdings_.end() || !IsDue(holder)) continue;
      internal::GiveBackAll(cards_, holdings_, holder.claim);
      held_[holder.team] -= MemoryOf(parts->second);
    }
  }

  static Bytes MemoryOf(const std::vector<Part>& parts) {
    Bytes memory;
    for (const Part& part : parts) memory += part.share.memory;
    return memory;
  }

  const QueueInput& input_;
  const First& first_;
  std::vector<Card> cards_;
  internal::Holdings holdings_;
  std::map<TeamId, Bytes> held_;
  TimePoint until_;
  std::vector<Candidate> candidates_;
};

}  // namespace

std::optional<Preemption> PlanPreemption(const QueueInput& input,
                                         std::span<const QueueAnswer> answers,
                                         const PreemptLimits& limits) {
  const bool anybody = std::ranges::any_of(
      input.holders, [](const Holder& one) { return one.preempt != PreemptRule::kNever; });
  const First first = anybody ? FirstOf(input, answers) : First();
  const auto asks = [](const ClaimRequest& part) { return part.count > 0; };
  if (first.waiting == nullptr || !asks(first.waiting->request) ||
      !std::ranges::all_of(first.waiting->more, asks)) {
    return std::nullopt;
  }
  return Then(input, answers, first).Plan(limits);
}

}  // namespace sluice::scheduler
