// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <string_view>

namespace sluice::cli {

// How many letters have to be added, dropped, changed or swapped with their neighbour.
int EditDistance(std::string_view a, std::string_view b);

// A sentence about the first word that should have been a verb and is none, with the verb that was
// probably meant; empty when the words are in order.
std::string WrongVerb(const CLI::App& app, int argc, const char* const* argv);

// The help of the last verb or group that is named.
std::string HelpOfNamed(const CLI::App& app, int argc, const char* const* argv);

}  // namespace sluice::cli
