// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "sim/html.h"

namespace sluice::cli {

// --html FILE.
void AddHtmlOption(CLI::App& app, std::string& path);

// Writes the page if there is a path, and says so on stderr. Stops when the file cannot be written.
void WriteHtml(const std::string& path, const sim::HtmlPage& page);

}  // namespace sluice::cli
