// SPDX-License-Identifier: Apache-2.0
#include "targets/internal/knapsack.h"

#include <algorithm>
#include <functional>

namespace sluice::targets {
namespace {

// Fleets with shares of a few dozen sizes need some hundred; the wall is for absurd ones.
constexpr int kStepsMax = 20'000;

struct Item {
  size_t size = 0;
  Extent extent;
  double worth = 0;
  // Worth per thousandth of both, of memory, of compute; the latter two: at most, of this item and
  // all after it.
  double per_thousandth = 0;
  double per_memory = 0;
  double per_compute = 0;
};

// What takes nothing is not bounded by what is left.
double Per(double worth, int32_t thousandths) {
  return thousandths > 0 ? worth / thousandths : 1e9;
}

// Whether another size takes no more and is worth as much: then that one serves instead. Of equal
// ones the first stays.
bool Beaten(const std::vector<Extent>& sizes, const std::vector<double>& worth, size_t i) {
  for (size_t j = 0; j < sizes.size(); ++j) {
    if (j != i && sizes[j].memory <= sizes[i].memory && sizes[j].compute <= sizes[i].compute &&
        (worth[j] > worth[i] || (worth[j] == worth[i] && j < i))) {
      return true;
    }
  }
  return false;
}

class Search {
 public:
  Search(const std::vector<Extent>& sizes, const std::vector<double>& worth, Extent room) {
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (worth[i] <= 1e-9 || sizes[i].memory > room.memory || sizes[i].compute > room.compute) {
        continue;
      }
      if (Beaten(sizes, worth, i)) continue;
      items_.push_back({i,
                        sizes[i],
                        worth[i],
                        Per(worth[i], sizes[i].memory + sizes[i].compute),
                        Per(worth[i], sizes[i].memory),
                        Per(worth[i], sizes[i].compute)});
    }
    std::ranges::stable_sort(items_, std::greater(), &Item::per_thousandth);
    for (size_t i = items_.size(); i-- > 1;) {
      items_[i - 1].per_memory = std::max(items_[i - 1].per_memory, items_[i].per_memory);
      items_[i - 1].per_compute = std::max(items_[i - 1].per_compute, items_[i].per_compute);
    }
    current_.assign(sizes.size(), 0);
    best_.pattern = current_;
    Try(0, room, 0);
  }

  const Packed& best() const { return best_; }

 private:
  void Try(size_t at, Extent room, double worth) {
    if (worth > best_.worth + 1e-12) best_ = {current_, worth};
    if (at == items_.size() || ++steps_ > kStepsMax) return;
    const Item& item = items_[at];
    const double most_worth =
        std::min({item.per_thousandth * std::max(room.memory + room.compute, 1),
                  item.per_memory * std::max(room.memory, 1),
                  item.per_compute * std::max(room.compute, 1)});
    if (worth + most_worth <= best_.worth + 1e-12) return;
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
