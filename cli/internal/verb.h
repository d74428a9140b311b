// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "cli/internal/api.h"

namespace sluice::cli {

// What every verb is given.
struct Context {
  Api& api;
  bool json = false;  // Print the API's answer instead of words.
};

using Action = std::function<int(Context&)>;

// One row: `sluice GROUP NAME`, or `sluice NAME` when the group is empty. `make` adds the verb's
// options to its parser and returns what is done with them.
struct Verb {
  std::string_view group;
  std::string_view name;
  std::string_view help;
  Action (*make)(CLI::App& app);
};

// A group of verbs. `make` is what the group does without a verb, if anything.
struct Group {
  std::string_view name;
  std::string_view help;
  Action (*make)(CLI::App& app);  // May be null.
};

std::span<const Group> Groups();

// The rows, by the file that holds them; AllVerbs puts them in the order of the help.
std::span<const Verb> InstanceVerbs();
std::span<const Verb> DesktopVerbs();
std::span<const Verb> GpuVerbs();
std::span<const Verb> PoolVerbs();
std::span<const Verb> TeamVerbs();
std::span<const Verb> ReservationVerbs();
std::span<const Verb> ConsolidateVerbs();
std::span<const Verb> AdminVerbs();
std::span<const Verb> SimVerbs();
std::span<const Verb> PlanVerbs();
std::vector<Verb> AllVerbs();

// What `sluice gpu` does without a verb: the share inside, the list outside.
Action MakeGpu(CLI::App& app);

// The shell script that completes the verbs and options of `app`. Empty: no such shell.
std::string CompletionScript(const CLI::App& app, std::string_view shell);

// The program's parser with every verb; the chosen verb's action is put into `chosen`.
void BuildParser(CLI::App& app, ApiOptions& options, bool& json, Action& chosen);

}  // namespace sluice::cli
