// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

// The only file pair that knows the solver (Clp).
namespace sluice::targets {

struct Entry {
  int row = 0;
  double value = 0;
};

// Minimises the columns' cost; every row is `sum of entries × columns ≤ upper`, every column at
// least 0. Columns may be added after solving: the next one starts from the last answer. One thread
// at a time.
class Solver {
 public:
  explicit Solver(const std::vector<double>& uppers);
  ~Solver();
  Solver(const Solver&) = delete;
  Solver& operator=(const Solver&) = delete;

  // Returns the column's number.
  int Add(double cost, const std::vector<Entry>& entries, double most = 1e30);
  // False if there is no optimum.
  bool Solve();
  // Of the last answer. A row's price is what one more of its upper would lower the cost by, ≥ 0.
  double Value(int column) const;
  double Price(int row) const;

 private:
  struct Model;
  std::unique_ptr<Model> model_;
};

}  // namespace sluice::targets
