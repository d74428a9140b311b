// SPDX-License-Identifier: Apache-2.0
#include "scheduler/explain.h"

#include <algorithm>
#include <map>
#include <utility>

namespace sluice::scheduler {
namespace {

// Thousandths with one decimal, rounded down: 3500 → "3.5".
std::string Tenths(int64_t millis) {
  const int64_t tenth = millis / 100 % 10;
  return std::to_string(millis / 1000) + (tenth == 0 ? "" : "." + std::to_string(tenth));
}

std::string MemoryText(int64_t memory, MemoryWords words) {
  return words == MemoryWords::kBytes ? ToText(Bytes(memory)) : Tenths(memory * 100) + "%";
}

// The most that one claim can have of a card of this kind.
Bytes LargestShare(const CardKind& kind) {
  if (!HasPlaces(kind.cut)) return kind.memory;
  return std::ranges::max_element(kind.cut.pieces, {}, &Piece::memory)->memory;
}

bool IsBound(Service service) {
  return service == Service::kForShares || service == Service::kForWhole;
}

// What the card is, before what is free on it.
Verdict JudgeKind(const Ledger& ledger, DemandIndex index, CardIndex card) {
  const Demand& demand = ledger.demand(index);
  const CardKind& kind = ledger.kind(ledger.card(card).kind);
  if (const Service service = ledger.service(card);
      service != Service::kOpen && !IsBound(service)) {
    return {Check::kService, service, 0};
  }
  if (!TakesName(demand, ledger.card_id(card))) return {Check::kName, Service::kOpen, 0};
  if (!demand.vendor.empty() && demand.vendor != kind.vendor) {
    return {Check::kVendor, Service::kOpen, 0};
  }
  if (!demand.models.empty() && !std::ranges::binary_search(demand.models, kind.model)) {
    return {Check::kModel, Service::kOpen, 0};
  }
  if (!demand.pool.empty() && demand.pool != kind.pool) return {Check::kPool, Service::kOpen, 0};
  if (!demand.piece.empty() &&
      PieceFor(kind.cut, Bytes(0), ComputeMillis(0), demand.piece) == nullptr) {
    return {Check::kPiece, Service::kOpen, 0};
  }
  if (!ledger.NeedOf(index, ledger.card(card).kind).admitted) {
    return {Check::kTooSmall, Service::kOpen, LargestShare(kind).value()};
  }
  return {};
}

// What is free on the card.
Verdict JudgeRoom(const Ledger& ledger, DemandIndex demand, CardIndex index) {
  const CardState& card = ledger.card(index);
  const Need& need = ledger.NeedOf(demand, card.kind);
  const int64_t memory = std::max<int64_t>(card.memory_free, 0);
  const int64_t compute = std::max<int64_t>(card.compute_free, 0);
  if (need.idle && card.holders > 0) return {Check::kInUse, Service::kOpen, 0};
  if (card.memory_free < need.memory) return {Check::kMemory, Service::kOpen, memory};
  if (card.compute_free < need.compute) return {Check::kCompute, Service::kOpen, compute};
  if (card.slots_free < 1) return {Check::kSlots, Service::kOpen, 0};
  if (need.width > 0 && StartsLeft(need.starts, need.width, card.taken) == 0) {
    return {Check::kPlaces, Service::kOpen, 0};
  }
  if (const Service service = ledger.service(index); IsBound(service)) {
    return {Check::kBounds, service, 0};
  }
  return {};
}

class Findings {
 public:
  void Add(const Verdict& verdict) {
    Finding& finding = by_[{verdict.check, verdict.service}];
    finding.check = verdict.check;
    finding.service = verdict.service;
    ++finding.count;
    finding.most = std::max(finding.most, verdict.free);
  }
  std::vector<Finding> Sorted() const {
    std::vector<Finding> list;
    // Of equally many, first what fails last: that is nearest to fitting.
    for (auto at = by_.rbegin(); at != by_.rend(); ++at) list.push_back(at->second);
    std::ranges::stable_sort(list, std::greater(), &Finding::count);
    return list;
  }

 private:
  std::map<std::pair<Check, Service>, Finding> by_;
};

// The most of one quantity that could be asked for instead: the largest that `count` cards of one
// machine all have, of the cards that fail at nothing else.
template <typename Free>
int64_t MostTogether(const Ledger& ledger, const Demand& demand, Check missing, Free&& free) {
  // Asked with nothing of the missing quantity, what fits is what fails at nothing else.
  Demand without = demand;
  if (missing == Check::kMemory) {
    without.memory = Bytes(0);
    without.memory_percent = 0;
  } else {
    without.guarantee = ComputeMillis(0);
    without.exclusive = false;
  }
  int64_t most = 0;
  for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
    std::vector<int64_t> fitting;
    for (const CardIndex card : ledger.FittingCards(without, node)) fitting.push_back(free(card));
    if (fitting.size() < static_cast<size_t>(demand.count)) continue;
    const auto last = fitting.begin() + demand.count - 1;
    std::ranges::nth_element(fitting, last, std::greater());
    most = std::max(most, *last);
  }
  return most;
}

class Alternatives {
 public:
  Alternatives(const Ledger& ledger, const Demand& demand, MemoryWords memory)
      : ledger_(ledger), demand_(demand), memory_(memory) {}

  std::vector<Alternative> Find() {
    if (demand_.count > 0) {
      LessMemory();
      LessCompute();
      OtherKind();
      FewerCards();
    }
    return std::move(found_);
  }

 private:
  void Try(const Demand& demand, const std::string& words) {
    if (ledger_.FirstFit(demand)) found_.push_back({demand, words});
  }

  void LessMemory() {
    if (demand_.whole) return;
    const int64_t most = MostTogether(
        ledger_, demand_, Check::kMemory, [&](CardIndex card) { return LargestNow(card); });
    const bool less = demand_.memory_percent > 0 || Bytes(most) < demand_.memory;
    if (most <= 0 || !less) return;
    Demand demand = demand_;
    demand.memory = Bytes(most);
    demand.memory_percent = 0;
    Try(demand, MemoryText(demand.memory.value(), memory_));
  }

  // The most that a share of the card could ask for now.
  int64_t LargestNow(CardIndex index) const {
    const CardState& card = ledger_.card(index);
    const CardKind& kind = ledger_.kind(card.kind);
    if (kind.cut.pieces.empty()) {
      // Rounded to what people ask for, where there is that much.
      int64_t free = card.memory_free;
      if (kind.cut.memory_unit > Bytes(0)) free -= free % kind.cut.memory_unit.value();
      return free >= kStep.value() ? free - free % kStep.value() : free;
    }
    int64_t most = 0;
    for (const Piece& piece : kind.cut.pieces) {
      Demand demand = demand_;
      demand.count = 1;
      demand.memory = piece.memory;
      demand.memory_percent = 0;
      const Need need = NeedOn(demand, kind);
      if (NeedFits(need, card)) most = std::max(most, piece.memory.value());
    }
    if (!HasPlaces(kind.cut) && card.holders == 0) most = kind.memory.value();
    return most;
  }

  void LessCompute() {
    if (demand_.whole || (demand_.guarantee == ComputeMillis(0) && !demand_.exclusive)) return;
    const int64_t most = MostTogether(ledger_, demand_, Check::kCompute, [&](CardIndex card) {
      return int64_t{ledger_.card(card).compute_free};
    });
    Demand demand = demand_;
    demand.exclusive = false;
    demand.guarantee = ComputeMillis(std::min<int64_t>(most, 1000));
    if (!demand_.exclusive && demand.guarantee >= demand_.guarantee) return;
    Try(demand, std::to_string(WholePercent(demand.guarantee)) + "% of the compute guaranteed");
  }

  // The same on cards of a kind that was not asked for.
  void OtherKind() {
    if (demand_.models.empty() && demand_.pool.empty() && demand_.vendor.empty()) return;
    Demand demand = demand_;
    demand.models.clear();
    demand.pool = PoolId();
    demand.vendor.clear();
    const auto node = ledger_.FirstFit(demand);
    if (!node) return;
    const CardIndex card = ledger_.FittingCards(demand, *node).front();
    const CardKind& kind = ledger_.kind(ledger_.card(card).kind);
    if (!demand_.models.empty()) demand.models = {kind.model};
    if (!demand_.pool.empty()) demand.pool = kind.pool;
    if (!demand_.vendor.empty()) demand.vendor = kind.vendor;
    const bool same_model = demand.models == demand_.models;
    Try(demand, same_model ? "in pool " + kind.pool.text() : "on " + kind.model);
  }

  void FewerCards() {
    for (int count = demand_.count - 1; count > 0; --count) {
      Demand demand = demand_;
      demand.count = count;
      if (!ledger_.FirstFit(demand)) continue;
      Try(demand, std::to_string(count) + (count == 1 ? " card" : " cards"));
      return;
    }
  }

  static constexpr Bytes kStep{int64_t{256} << 20};
  const Ledger& ledger_;
  const Demand& demand_;
  const MemoryWords memory_;
  std::vector<Alternative> found_;
};

constexpr std::pair<Service, const char*> kServiceWords[] = {
    {Service::kKept, "kept for others"},
    {Service::kForShares, "kept for shares"},
    {Service::kForWhole, "kept whole"},
    {Service::kWhole, "given out whole"},
    {Service::kPassthrough, "held for passthrough"},
    {Service::kPartitioned, "divided into parts"},
    {Service::kMoving, "moving"},
    {Service::kCordoned, "cordoned"},
    {Service::kFailed, "failed"},
    {Service::kUnhealthy, "unhealthy"},
    {Service::kStale, "not heard of"},
};

// What is said of the cards, and before what there is at most; empty: no figure.
struct Phrase {
  Check check;
  const char* words;
  const char* most;
};
constexpr Phrase kPhrases[] = {
    {Check::kMachineClosed, "on a machine that is out of service", ""},
    {Check::kName, "not named", ""},
    {Check::kVendor, "of another vendor", ""},
    {Check::kModel, "another model", ""},
    {Check::kPool, "in another pool", ""},
    {Check::kPiece, "not divided so", ""},
    {Check::kTooSmall, "too small", "largest has "},
    {Check::kCpu, "too little CPU", "most free "},
    {Check::kMainMemory, "too little main memory", "most free "},
    {Check::kMachineSlots, "on a machine without a free slot", ""},
    {Check::kInUse, "in use", ""},
    {Check::kMemory, "too little memory", "largest free "},
    {Check::kCompute, "too little compute", "most free "},
    {Check::kSlots, "without a free slot", ""},
    {Check::kPlaces, "without a place for such a part", ""},
    {Check::kTogether, "too few of one machine", "most together "},
    {Check::kOneNuma, "too few on one NUMA node", "most together "},
    {Check::kNone, "free", ""},
};

std::string Figure(const Finding& finding, MemoryWords memory) {
  switch (finding.check) {
    case Check::kMemory:
    case Check::kTooSmall:
      return MemoryText(finding.most, memory);
    case Check::kMainMemory:
      return ToText(Bytes(finding.most));
    case Check::kCpu:
      return Tenths(finding.most) + (finding.most == 1000 ? " core" : " cores");
    case Check::kCompute:
      return Tenths(finding.most * 100) + "%";
    default:
      return std::to_string(finding.most);
  }
}

const char* WordsOf(Check check, Service service) {
  if (check != Check::kService && check != Check::kBounds) {
    return std::ranges::find(kPhrases, check, &Phrase::check)->words;
  }
  return std::ranges::find(kServiceWords, service, &std::pair<Service, const char*>::first)->second;
}

// "floor 3", "ceiling 3".
std::string BoundWords(Service service, int64_t bound) {
  return (service == Service::kForShares ? "floor " : "ceiling ") + std::to_string(bound);
}

std::string ToWords(const Finding& finding, MemoryWords memory) {
  const std::string words =
      std::to_string(finding.count) + " " + WordsOf(finding.check, finding.service);
  if (finding.check == Check::kBounds) {
    return words + " (" + BoundWords(finding.service, finding.most) + ")";
  }
  const Phrase* phrase = std::ranges::find(kPhrases, finding.check, &Phrase::check);
  if (phrase == std::end(kPhrases) || *phrase->most == '\0') return words;
  return words + " (" + phrase->most + Figure(finding, memory) + ")";
}

}  // namespace

Verdict JudgeMachine(const Ledger& ledger, DemandIndex index, NodeIndex node) {
  const NodeState& state = ledger.node(node);
  const Demand& demand = ledger.demand(index);
  if (!state.open) return {Check::kMachineClosed, Service::kOpen, 0};
  if (state.cpu_free < demand.cpu_millis) return {Check::kCpu, Service::kOpen, state.cpu_free};
  if (state.memory_free < demand.main_memory.value()) {
    return {Check::kMainMemory, Service::kOpen, state.memory_free};
  }
  if (state.slots_free < 1) return {Check::kMachineSlots, Service::kOpen, 0};
  return {};
}

namespace {

int64_t MostOnOneNuma(const Ledger& ledger, DemandIndex demand, NodeIndex node) {
  std::map<int, int64_t> fitting;
  int64_t most = 0;
  for (const CardIndex card : ledger.FittingCards(ledger.demand(demand), node)) {
    most = std::max(most, ++fitting[ledger.numa(card)]);
  }
  return most;
}

}  // namespace

Verdict JudgeCard(const Ledger& ledger, DemandIndex demand, NodeIndex node, CardIndex card) {
  const Verdict machine = JudgeMachine(ledger, demand, node);
  if (machine.check == Check::kMachineClosed) return machine;
  if (const Verdict kind = JudgeKind(ledger, demand, card); kind.check != Check::kNone) return kind;
  if (machine.check != Check::kNone) return machine;
  if (const Verdict room = JudgeRoom(ledger, demand, card); room.check != Check::kNone) return room;
  const auto fitting =
      static_cast<int64_t>(ledger.FittingCards(ledger.demand(demand), node).size());
  if (fitting < ledger.demand(demand).count) return {Check::kTogether, Service::kOpen, fitting};
  if (!ledger.Fits(demand, node)) {
    return {Check::kOneNuma, Service::kOpen, MostOnOneNuma(ledger, demand, node)};
  }
  return {};
}

Explanation Explain(const Ledger& ledger, DemandIndex index, MemoryWords memory) {
  const Demand& demand = ledger.demand(index);
  Explanation explanation;
  Findings findings;
  for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
    explanation.fits = explanation.fits || ledger.Fits(index, node);
    if (demand.count == 0) {
      findings.Add(JudgeMachine(ledger, index, node));
      ++explanation.count;
      continue;
    }
    const NodeState& state = ledger.node(node);
    for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
      findings.Add(JudgeCard(ledger, index, node, card));
      ++explanation.count;
    }
  }
  explanation.findings = findings.Sorted();
  if (!explanation.fits) explanation.alternatives = Alternatives(ledger, demand, memory).Find();
  return explanation;
}

std::string ToWords(const Verdict& verdict, MemoryWords memory) {
  const std::string words = WordsOf(verdict.check, verdict.service);
  const std::string figure =
      Figure({.check = verdict.check, .service = verdict.service, .most = verdict.free}, memory);
  switch (verdict.check) {
    case Check::kCpu:
    case Check::kMainMemory:
    case Check::kMemory:
    case Check::kCompute:
      return words + " (" + figure + " free)";
    case Check::kTooSmall:
      return words + " (has " + figure + ")";
    case Check::kTogether:
      return words + " (" + figure + " together)";
    case Check::kBounds:
      return words + " (" + BoundWords(verdict.service, verdict.free) + ")";
    default:
      return words;
  }
}

std::string ToWords(const Explanation& explanation, const Demand& demand, MemoryWords memory) {
  const char* what = demand.count == 0 ? (explanation.count == 1 ? " machine" : " machines")
                                       : (explanation.count == 1 ? " card" : " cards");
  std::string words = std::to_string(explanation.count) + what;
  const char* separator = ": ";
  for (const Finding& finding : explanation.findings) {
    words += separator + ToWords(finding, memory);
    separator = ", ";
  }
  return words;
}

}  // namespace sluice::scheduler
