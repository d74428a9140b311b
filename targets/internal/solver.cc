// SPDX-License-Identifier: Apache-2.0
#include "targets/internal/solver.h"

#include <coin/ClpSimplex.hpp>

namespace sluice::targets {

struct Solver::Model {
  ClpSimplex simplex;
  // Columns that the simplex has not got yet, as it takes them.
  std::vector<double> cost;
  std::vector<double> most;
  std::vector<CoinBigIndex> starts{0};
  std::vector<int> rows;
  std::vector<double> values;
  int columns = 0;
};

Solver::Solver(const std::vector<double>& uppers) : model_(std::make_unique<Model>()) {
  ClpSimplex& simplex = model_->simplex;
  simplex.setLogLevel(0);
  simplex.resize(static_cast<int>(uppers.size()), 0);
  for (size_t row = 0; row < uppers.size(); ++row) {
    simplex.setRowBounds(static_cast<int>(row), -COIN_DBL_MAX, uppers[row]);
  }
}

Solver::~Solver() = default;

int Solver::Add(double cost, const std::vector<Entry>& entries, double most) {
  Model& model = *model_;
  model.cost.push_back(cost);
  model.most.push_back(most);
  for (const Entry& entry : entries) {
    model.rows.push_back(entry.row);
    model.values.push_back(entry.value);
  }
  model.starts.push_back(static_cast<CoinBigIndex>(model.rows.size()));
  return model.columns++;
}

bool Solver::Solve() {
  Model& model = *model_;
  if (model.columns == 0) return true;  // Clp reads past its arrays when there is nothing to solve.
  const bool first = model.simplex.numberColumns() == 0;
  if (!model.cost.empty()) {
    const std::vector<double> least(model.cost.size(), 0.0);
    model.simplex.addColumns(static_cast<int>(model.cost.size()),
                             least.data(),
                             model.most.data(),
                             model.cost.data(),
                             model.starts.data(),
                             model.rows.data(),
                             model.values.data());
    model.cost.clear();
    model.most.clear();
    model.starts.assign(1, 0);
    model.rows.clear();
    model.values.clear();
  }
  if (first) {
    model.simplex.dual();
  } else {
    model.simplex.primal(1);
  }
  return model.simplex.status() == 0;
}

double Solver::Value(int column) const {
  return model_->simplex.primalColumnSolution()[column];
}

double Solver::Price(int row) const {
  if (model_->columns == 0) return 0;
  return -model_->simplex.dualRowSolution()[row];
}

}  // namespace sluice::targets
