// SPDX-License-Identifier: Apache-2.0
#include "scheduler/annotations.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <vector>

namespace sluice::scheduler {
namespace {

using Models = std::span<const std::string>;
using Words = std::vector<std::string>;

std::string Lower(std::string_view text) {
  std::string lower;
  for (const char letter : text) {
    lower += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  }
  return lower;
}

// The list's words without the blanks around them; empty ones are left out.
Words WordsOf(std::string_view list) {
  Words words;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string_view word = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    while (!word.empty() && word.front() == ' ') word.remove_prefix(1);
    while (!word.empty() && word.back() == ' ') word.remove_suffix(1);
    if (!word.empty()) words.emplace_back(word);
  }
  return words;
}

bool SetNodeRule(Demand& demand, const Words& words, Models) {
  if (words.size() != 1) return false;
  if (words[0] == "binpack") demand.node_rule = NodeRule::kBinpack;
  if (words[0] == "spread") demand.node_rule = NodeRule::kSpread;
  return words[0] == "binpack" || words[0] == "spread";
}

bool SetCardRule(Demand& demand, const Words& words, Models) {
  const auto has = [&](std::string_view word) { return std::ranges::count(words, word) > 0; };
  for (const std::string& word : words) {
    if (word == "mutex") {
      demand.idle_cards = true;
    } else if (word == "binpack") {
      demand.card_rule = CardRule::kBinpack;
    } else if (word == "spread") {
      demand.card_rule = CardRule::kSpread;
    } else if (word != "numa" && word != "topology-aware") {
      return false;
    }
  }
  // Who asks for neighbours gets them before anything else is looked at.
  if (has("numa") || has("topology-aware")) demand.card_rule = CardRule::kClosest;
  return !words.empty() && !(has("binpack") && has("spread"));
}

bool OneOf(const Words& parts, const std::string& model) {
  return std::ranges::any_of(parts, [&](const std::string& part) {
    return Lower(model).find(Lower(part)) != std::string::npos;
  });
}

// What no card calls itself.
constexpr std::string_view kNoModel = "(none)";

// What is left of the models that the demand took before.
void KeepModels(Demand& demand, const Words& words, Models models, bool wanted) {
  std::vector<std::string> kept;
  for (const std::string& model : models) {
    const bool taken = demand.models.empty() || std::ranges::binary_search(demand.models, model);
    if (taken && OneOf(words, model) == wanted) kept.push_back(model);
  }
  if (kept.empty()) kept.emplace_back(kNoModel);
  std::ranges::sort(kept);
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  demand.models = std::move(kept);
}

bool UseModels(Demand& demand, const Words& words, Models models) {
  if (!words.empty()) KeepModels(demand, words, models, true);
  return !words.empty();
}

bool LeaveModels(Demand& demand, const Words& words, Models models) {
  if (!words.empty()) KeepModels(demand, words, models, false);
  return !words.empty();
}

bool Name(std::vector<GpuId>& cards, const Words& words) {
  for (const std::string& word : words) cards.emplace_back(word);
  std::ranges::sort(cards);
  cards.erase(std::unique(cards.begin(), cards.end()), cards.end());
  return !words.empty();
}

bool UseCards(Demand& demand, const Words& words, Models) {
  return Name(demand.only, words);
}

bool LeaveCards(Demand& demand, const Words& words, Models) {
  return Name(demand.never, words);
}

bool BindNuma(Demand& demand, const Words& words, Models) {
  if (words.size() != 1 || (words[0] != "true" && words[0] != "false")) return false;
  demand.one_numa = words[0] == "true";
  return true;
}

struct Key {
  std::string_view name;
  bool (*apply)(Demand&, const Words&, Models);  // False: the value is none of them.
  std::string_view values;
};
constexpr Key kKeys[] = {
    {"hami.io/node-scheduler-policy", SetNodeRule, "binpack or spread"},
    {"hami.io/gpu-scheduler-policy",
     SetCardRule,
     "a list of binpack or spread, numa, topology-aware, mutex"},
    {"nvidia.com/use-gputype", UseModels, "a list of parts of models' names"},
    {"nvidia.com/nouse-gputype", LeaveModels, "a list of parts of models' names"},
    {"nvidia.com/use-gpuuuid", UseCards, "a list of cards"},
    {"nvidia.com/nouse-gpuuuid", LeaveCards, "a list of cards"},
    {"nvidia.com/numa-bind", BindNuma, "true or false"},
};

}  // namespace

Result<bool> ApplyAnnotation(Demand& demand,
                             const Annotation& annotation,
                             std::span<const std::string> models) {
  const auto key = std::ranges::find(kKeys, annotation.key, &Key::name);
  if (key == std::end(kKeys)) return false;
  Demand changed = demand;
  if (!key->apply(changed, WordsOf(annotation.value), models)) {
    return Fail(
        Code::kInvalidArgument,
        annotation.key + ": \"" + annotation.value + "\" is not " + std::string(key->values),
        annotation.key);
  }
  demand = std::move(changed);
  return true;
}

}  // namespace sluice::scheduler
