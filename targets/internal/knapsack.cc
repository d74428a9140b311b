// SPDX-License-Identifier: Apache-2.0
#include "targets/internal/knapsack.h"

#include <algorithm>

namespace sluice::targets {
namespace {

// Fleets with shares of a few dozen sizes need some hundred; the wall is for absurd ones.
constexpr int kStepsMax = 20'000;

struct Item {
  size_t size = 0;
  Extent extent;
  double worth = 0;
  double per_memory = 0;  // Worth per thousandth.
};

class Search {
 public:
  Search(const std::vector<Extent>& sizes, const std::vector<double>& worth, Extent room) {
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (worth[i] <= 1e-9 || sizes[i].memory > room.memory || sizes[i].compute > room.compute) {
        continue;
      }
      items_.push_back({i, sizes[i], worth[i], worth[i] / std::max(sizes[i].memory, 1)});
    }
    std::ranges::stable_sort(items_, std::greater(), &Item::per_memory);
    current_.assign(sizes.size(), 0);
    best_.pattern = current_;
    Try(0, room, 0);
  }

  const Packed& best() const { return best_; }

 private:
  void Try(size_t at, Extent room, double worth) {
    if (worth > best_.worth + 1e-12) best_ = {current_, worth};
    if (at == items_.size() || ++steps_ > kStepsMax) return;
    // Items are sorted: none of the rest is worth more per thousandth.
    if (worth + items_[at].per_memory * std::max(room.memory, 1) <= best_.worth + 1e-12) return;
    const Item& item = items_[at];
    int most = item.extent.memory > 0 ? room.memory / item.extent.memory : kAtOnceMax;
    if (item.extent.compute > 0) most = std::min(most, room.compute / item.extent.compute);
    for (int count = std::min(most, kAtOnceMax); count >= 0; --count) {
      current_[item.size] = count;
      Try(at + 1,
          {room.memory - count * item.extent.memory, room.compute - count * item.extent.compute},
          worth + count * item.worth);
    }
    current_[item.size] = 0;
  }

  static constexpr int kAtOnceMax = 64;

  std::vector<Item> items_;
  Pattern current_;
  Packed best_;
  int steps_ = 0;
};

}  // namespace

Packed MostWorth(const std::vector<Extent>& sizes, const std::vector<double>& worth, Extent room) {
  return Search(sizes, worth, room).best();
}

}  // namespace sluice::targets
