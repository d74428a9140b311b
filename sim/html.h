// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

// Reports as one HTML file that needs nothing else: no script, no network. All text is escaped.
namespace sluice::sim {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // By x, ascending; values that are finite.
};

// Lines over a common axis; y from 0, or from `y_from` where what matters is far above.
struct Chart {
  std::string title;
  std::string x_name;
  std::string y_name;
  double y_from = 0;
  std::vector<Series> series;
};

// The first row is the head.
struct HtmlTable {
  std::string title;
  std::vector<std::vector<std::string>> rows;
};

struct HtmlPage {
  std::string title;
  std::vector<std::string> notes;  // Paragraphs: what was played, ties, moves, what is synthetic.
  std::vector<HtmlTable> tables;
  std::vector<Chart> charts;
};

std::string ToHtml(const HtmlPage& page);

}  // namespace sluice::sim
