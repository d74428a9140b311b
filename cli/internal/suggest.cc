// SPDX-License-Identifier: Apache-2.0
#include "cli/internal/suggest.h"

#include <algorithm>
#include <fmt/core.h>
#include <vector>

#include "cli/internal/print.h"

namespace sluice::cli {
namespace {

// Verbs are short; a longer word is not a slip.
constexpr size_t kLengthMax = 40;
constexpr int kDistanceMax = 2;

bool TakesValue(const CLI::App& app, std::string_view word) {
  if (word.find('=') != std::string_view::npos) return false;
  const CLI::Option* option = app.get_option_no_throw(std::string(word));
  return option != nullptr && option->get_items_expected_max() > 0;
}

}  // namespace

int EditDistance(std::string_view a, std::string_view b) {
  a = a.substr(0, kLengthMax);
  b = b.substr(0, kLengthMax);
  std::vector<std::vector<int>> cost(a.size() + 1, std::vector<int>(b.size() + 1, 0));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = static_cast<int>(i + j);
        continue;
      }
      const int change = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({change, cost[i - 1][j] + 1, cost[i][j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

std::string WrongVerb(const CLI::App& app, int argc, const char* const* argv) {
  const CLI::App* at = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--") return {};
    if (word.starts_with("-")) {
      if (TakesValue(app, word)) ++i;
      continue;
    }
    const std::vector<const CLI::App*> verbs =
        at->get_subcommands([](const CLI::App*) { return true; });
    if (verbs.empty()) return {};
    const auto named = std::ranges::find(verbs, word, &CLI::App::get_name);
    if (named != verbs.end()) {
      at = *named;
      continue;
    }
    const auto nearest = std::ranges::min_element(
        verbs, {}, [&](const CLI::App* verb) { return EditDistance(word, verb->get_name()); });
    const std::string group = at == &app ? "" : at->get_name() + " ";
    std::string text = fmt::format("there is no verb \"{}{}\"", group, Safe(word));
    if (EditDistance(word, (*nearest)->get_name()) <= kDistanceMax) {
      text += fmt::format("; did you mean \"{}{}\"?", group, (*nearest)->get_name());
    }
    return text + fmt::format("\nAll verbs: sluice {}--help", group);
  }
  return {};
}

std::string HelpOfNamed(const CLI::App& app, int argc, const char* const* argv) {
  const CLI::App* at = &app;
  std::string before;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--") break;
    if (word.starts_with("-")) {
      if (TakesValue(app, word)) ++i;
      continue;
    }
    const auto verbs = at->get_subcommands([](const CLI::App*) { return true; });
    const auto named = std::ranges::find(verbs, word, &CLI::App::get_name);
    if (named == verbs.end()) break;
    before += (before.empty() ? "" : " ") + at->get_name();
    at = *named;
  }
  return at->help(before);
}

}  // namespace sluice::cli
