// SPDX-License-Identifier: Apache-2.0
#include "cli/internal/html_file.h"

#include <fstream>

#include "cli/cli.h"
#include "cli/internal/api.h"
#include "cli/internal/print.h"

namespace sluice::cli {

void AddHtmlOption(CLI::App& app, std::string& path) {
  app.add_option("--html", path, "Write a report with charts, one file that needs nothing else");
}

void WriteHtml(const std::string& path, const sim::HtmlPage& page) {
  if (path.empty()) return;
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << sim::ToHtml(page);
  out.close();
  if (!out) Stop(kError, path + " cannot be written");
  Err("wrote " + path + "\n");
}

}  // namespace sluice::cli
