// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/internal/api.h"

// What several verbs share: reading options and finding objects by name.
namespace sluice::cli {

// Checks an option while it is parsed, so that a wrong one is a usage error.
extern const CLI::Validator kMemory;    // "6GiB".
extern const CLI::Validator kTimeSpan;  // "90s", "8h".
extern const CLI::Validator kPercent;   // "30%", "30".

int64_t MemoryBytes(const std::string& text);  // Requires: passed kMemory.
int64_t Seconds(const std::string& text);      // Requires: passed kTimeSpan.
int64_t Percent(const std::string& text);      // Requires: passed kPercent, or empty: 0.

// --compute and --cap, and what they say in a request; an empty one is left out.
void AddComputeOptions(CLI::App& app, std::string& compute, std::string& cap);
void AddCompute(Json& request, const std::string& compute, const std::string& cap);

// --priority, and what it says in a request; 0 is left out.
void AddPriorityOption(CLI::App& app, int& priority);
void AddPriority(Json& request, int priority);

// The desktop with this id or name. Stops with kNotFound and the names there are, or kUsage when a
// name is not unique.
Json FindDesktop(Api& api, const std::string& name);
Json FindUser(Api& api, const std::string& name);
Json FindTeam(Api& api, const std::string& name);

// Every desktop that the caller may see.
Json VisibleDesktops(Api& api);

// The cards as people count them: by node, then by number.
Json GpusInOrder(Api& api);

// "/v1/desktops/dsk_…".
std::string PathOf(const std::string& collection, const Json& object);

}  // namespace sluice::cli
