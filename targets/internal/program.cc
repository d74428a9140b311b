// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "targets/internal/solver.h"
#include "targets/internal/supply.h"

namespace sluice::targets {
namespace {

using scheduler::Demand;
using scheduler::Ledger;

// Weights of the program, in cards. The worth of what is placed comes first; the rest only chooses
// among equally good answers.
constexpr double kWorthOfCpuOnly = 0.05;  // A claim without cards: served, but not before cards.
constexpr double kCostOfCard = 1e-3;      // So that no card is filled for nothing.
// Per core and per GiB of main memory beyond the easy part, in two steps, so that node types share
// the load. A card has some ten cores and forty GiB beside it.
constexpr double kCostOfCore = 1e-4;
constexpr double kCostOfGib = 2.5e-5;
constexpr double kDearer = 4;  // The second step.
// One number per card needs some twenty rounds; memory and compute that have nothing to do with
// each other some eighty.
constexpr int kRoundsMax = 100;

// Which row means what: first one per demand, then a block per supply.
class Rows {
 public:
  Rows(size_t demands, const std::vector<Supply>& supplies) : count_(static_cast<int>(demands)) {
    for (const Supply& supply : supplies) {
      starts_.push_back(count_);
      groups_.push_back(static_cast<int>(supply.groups.size()));
      count_ += 2 + static_cast<int>(supply.groups.size() + supply.sizes.size());
    }
  }
  int Demand(size_t demand) const { return static_cast<int>(demand); }
  int Cpu(size_t supply) const { return starts_[supply]; }
  int Memory(size_t supply) const { return starts_[supply] + 1; }
  int Cards(size_t supply, size_t group) const {
    return starts_[supply] + 2 + static_cast<int>(group);
  }
  // Shares of that size asked for, less those that the fillings have room for.
  int Size(size_t supply, size_t size) const {
    return starts_[supply] + 2 + groups_[supply] + static_cast<int>(size);
  }
  int count() const { return count_; }

 private:
  int count_;
  std::vector<int> starts_;
  std::vector<int> groups_;
};

class Builder {
 public:
  Builder(const Ledger& ledger,
          const std::vector<Expected>& expected,
          const std::vector<Supply>& supplies,
          const ProgramOptions& options)
      : ledger_(ledger),
        expected_(expected),
        supplies_(supplies),
        options_(options),
        rows_(expected.size(), supplies),
        solver_(Uppers()),
        columns_(expected.size(), std::vector<int>(supplies.size(), -1)) {
    for (size_t s = 0; s < supplies.size(); ++s) {
      AddClaims(s);
      AddHard(rows_.Cpu(s), supplies[s].cores_free, kCostOfCore);
      AddHard(rows_.Memory(s), supplies[s].memory_gib_free, kCostOfGib);
      AddFirstFillings(s);
    }
  }

  Result<Fractions> Run() {
    if (!solver_.Solve()) return Fail(Code::kInternal, "the placement program has no optimum");
    for (int round = 0; round < kRoundsMax && AddBetterFillings(); ++round) {
      if (!solver_.Solve()) return Fail(Code::kInternal, "the placement program has no optimum");
    }
    Fractions answer;
    for (size_t i = 0; i < expected_.size(); ++i) {
      std::vector<double>& claims = answer.claims.emplace_back(supplies_.size(), 0.0);
      const auto worth = static_cast<double>(WorthMillis(ledger_, expected_[i].demand));
      for (size_t s = 0; s < supplies_.size(); ++s) {
        if (columns_[i][s] >= 0) claims[s] = solver_.Value(columns_[i][s]);
        answer.bound_millis += claims[s] * worth;
      }
    }
    for (size_t i = 0; i < fillings_.size(); ++i) {
      fillings_[i].cards = solver_.Value(filling_columns_[i]);
      if (fillings_[i].cards > 1e-6) answer.fillings.push_back(fillings_[i]);
    }
    return answer;
  }

 private:
  std::vector<double> Uppers() const {
    std::vector<double> uppers(static_cast<size_t>(rows_.count()), 0.0);
    const auto set = [&](int row, double upper) { uppers[static_cast<size_t>(row)] = upper; };
    for (size_t i = 0; i < expected_.size(); ++i) set(rows_.Demand(i), expected_[i].count);
    for (size_t s = 0; s < supplies_.size(); ++s) {
      const Supply& supply = supplies_[s];
      const auto easy = [&](double free) { return free < 0 ? 1e30 : free * options_.easy / 100; };
      set(rows_.Cpu(s), easy(supply.cores_free));
      set(rows_.Memory(s), easy(supply.memory_gib_free));
      for (size_t g = 0; g < supply.groups.size(); ++g) {
        set(rows_.Cards(s, g), supply.groups[g].cards);
      }
    }
    return uppers;
  }

  void AddClaims(size_t s) {
    const Supply& supply = supplies_[s];
    const bool unheld = !supply.groups.empty() && supply.groups.front().unheld;
    for (size_t i = 0; i < expected_.size(); ++i) {
      const Demand& demand = ledger_.demand(expected_[i].demand);
      if (!supply.takes[i] || (demand.whole && !unheld)) continue;
      std::vector<Entry> entries = {{rows_.Demand(i), 1}};
      if (supply.cores_free >= 0) {
        entries.push_back({rows_.Cpu(s), static_cast<double>(demand.cpu_millis) / 1e3});
      }
      if (supply.memory_gib_free >= 0) {
        entries.push_back(
            {rows_.Memory(s), static_cast<double>(demand.main_memory.value()) / (1 << 30)});
      }
      if (demand.count > 0 && demand.whole) {
        entries.push_back({rows_.Cards(s, 0), static_cast<double>(demand.count)});
      }
      if (supply.size_of[i] >= 0) {
        entries.push_back({rows_.Size(s, static_cast<size_t>(supply.size_of[i])), 1});
      }
      const auto worth = static_cast<double>(WorthMillis(ledger_, expected_[i].demand)) / 1e3;
      columns_[i][s] = solver_.Add(-(demand.count > 0 ? worth : kWorthOfCpuOnly), entries);
    }
  }

  // What is beyond the easy part of the row's resource.
  void AddHard(int row, double free, double cost) {
    const double rest = free * std::max(options_.most - options_.easy, 0) / 100;
    if (free < 0 || rest <= 0) return;
    solver_.Add(cost, {{row, -1}}, rest / 2);
    solver_.Add(cost * kDearer, {{row, -1}}, rest / 2);
  }

  // As many of one size as fit, for each size: the program has an answer from the start.
  void AddFirstFillings(size_t s) {
    const Supply& supply = supplies_[s];
    for (size_t g = 0; g < supply.groups.size(); ++g) {
      for (size_t size = 0; size < supply.sizes.size(); ++size) {
        std::vector<double> worth(supply.sizes.size(), 0.0);
        worth[size] = 1;
        const Packed packed = MostWorth(supply.sizes, worth, supply.groups[g].room);
        if (packed.worth > 0) AddFilling({s, g, packed.pattern, 0});
      }
    }
  }

  void AddFilling(Filling filling) {
    std::vector<Entry> entries = {{rows_.Cards(filling.supply, filling.group), 1}};
    for (size_t size = 0; size < filling.pattern.size(); ++size) {
      if (filling.pattern[size] > 0) {
        entries.push_back({rows_.Size(filling.supply, size), -1.0 * filling.pattern[size]});
      }
    }
    filling_columns_.push_back(solver_.Add(kCostOfCard, entries));
    fillings_.push_back(std::move(filling));
  }

  // Adds, for each group, the filling that the present prices make the best, if it is worth more
  // than the card it takes. False if there was none: the answer is the best there is.
  bool AddBetterFillings() {
    std::vector<Filling> found;
    for (size_t s = 0; s < supplies_.size(); ++s) {
      const Supply& supply = supplies_[s];
      std::vector<double> prices;
      for (size_t size = 0; size < supply.sizes.size(); ++size) {
        prices.push_back(solver_.Price(rows_.Size(s, size)));
      }
      for (size_t g = 0; g < supply.groups.size(); ++g) {
        Packed packed = MostWorth(supply.sizes, prices, supply.groups[g].room);
        if (packed.worth <= kCostOfCard + solver_.Price(rows_.Cards(s, g)) + 1e-7) continue;
        found.push_back({s, g, std::move(packed.pattern), 0});
      }
    }
    for (Filling& filling : found) AddFilling(std::move(filling));
    return !found.empty();
  }

  const Ledger& ledger_;
  const std::vector<Expected>& expected_;
  const std::vector<Supply>& supplies_;
  const ProgramOptions& options_;
  Rows rows_;
  Solver solver_;
  std::vector<std::vector<int>> columns_;  // [expected][supply], -1: none.
  std::vector<Filling> fillings_;
  std::vector<int> filling_columns_;
};

}  // namespace

Result<Fractions> Solve(const Ledger& ledger,
                        const std::vector<Expected>& expected,
                        const std::vector<Supply>& supplies,
                        const ProgramOptions& options) {
  return Builder(ledger, expected, supplies, options).Run();
}

}  // namespace sluice::targets
