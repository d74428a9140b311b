// SPDX-License-Identifier: Apache-2.0
#include "sim/html.h"

#include <algorithm>
#include <cmath>
#include <fmt/core.h>
#include <iterator>
#include <string_view>

namespace sluice::sim {
namespace {

constexpr double kWidth = 760;
constexpr double kHeight = 280;
constexpr double kLeft = 64;
constexpr double kRight = 12;
constexpr double kTop = 12;
constexpr double kBottom = 44;
constexpr int kTicks = 5;
// Told apart also by who sees few colours; each line has its own dashes, too.
constexpr std::string_view kColours[] = {
    "#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#64748b"};
constexpr std::string_view kDashes[] = {"none", "6 3", "2 3", "8 3 2 3", "1 2", "12 4"};

constexpr std::string_view kStyle =
    ":root{color-scheme:light dark;font:15px/1.5 "
    "system-ui,sans-serif}body{max-width:820px;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{padding:.25rem "
    ".75rem;text-align:right;border-bottom:1px solid #8884}"
    "th:first-child,td:first-child{text-align:left}svg{width:100%;height:auto}text{fill:"
    "currentColor;font-size:12px}"
    ".grid{stroke:#8884}.legend{display:flex;flex-wrap:wrap;gap:0 1.25rem}";

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// The smallest 1, 2 or 5 times a power of ten that is at least `value`.
double NiceStep(double value) {
  if (!(value > 0)) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double times : {1.0, 2.0, 5.0}) {
    if (times * power >= value * (1 - 1e-9)) return times * power;
  }
  return 10 * power;
}

struct Axis {
  double from = 0;
  double to = 1;
  double step = 1;

  Axis(double low, double high) : from(low) {
    step = NiceStep((high - low) / kTicks);
    to = low + step * std::max(1.0, std::ceil((high - low) / step - 1e-9));
  }
  double Part(double value) const { return std::clamp((value - from) / (to - from), 0.0, 1.0); }
};

struct Frame {
  Axis x;
  Axis y;

  double X(double value) const { return kLeft + x.Part(value) * (kWidth - kLeft - kRight); }
  double Y(double value) const {
    return kHeight - kBottom - y.Part(value) * (kHeight - kTop - kBottom);
  }
};

Frame FrameOf(const Chart& chart) {
  double x_low = 0;
  double x_high = 0;
  double y_high = chart.y_from;
  bool first = true;
  for (const Series& series : chart.series) {
    for (const auto& [x, y] : series.points) {
      x_low = first ? x : std::min(x_low, x);
      x_high = first ? x : std::max(x_high, x);
      y_high = std::max(y_high, y);
      first = false;
    }
  }
  return {Axis(x_low, std::max(x_high, x_low + 1e-9)),
          Axis(chart.y_from, std::max(y_high, chart.y_from + 1e-9))};
}

std::string Grid(const Frame& frame, const Chart& chart) {
  std::string out;
  for (int i = 0; frame.y.from + i * frame.y.step <= frame.y.to * (1 + 1e-9); ++i) {
    const double value = frame.y.from + i * frame.y.step;
    const double y = frame.Y(value);
    out += fmt::format(R"(<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>)",
                       kLeft,
                       kWidth - kRight,
                       y,
                       y);
    out += fmt::format(
        R"(<text x="{}" y="{:.1f}" text-anchor="end">{:.6g}</text>)", kLeft - 8, y + 4, value);
  }
  for (int i = 0; frame.x.from + i * frame.x.step <= frame.x.to * (1 + 1e-9); ++i) {
    const double value = frame.x.from + i * frame.x.step;
    out += fmt::format(R"(<text x="{:.1f}" y="{}" text-anchor="middle">{:.6g}</text>)",
                       frame.X(value),
                       kHeight - kBottom + 18,
                       value);
  }
  out += fmt::format(R"(<text x="{}" y="{}" text-anchor="end">{}</text>)",
                     kWidth - kRight,
                     kHeight - 6,
                     Escaped(chart.x_name));
  return out;
}

std::string Draw(const Chart& chart) {
  const Frame frame = FrameOf(chart);
  std::string out =
      fmt::format("<h2>{}</h2>\n<p>{}</p>\n", Escaped(chart.title), Escaped(chart.y_name));
  out += fmt::format(R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}">)",
                     kWidth,
                     kHeight,
                     Escaped(chart.title));
  out += Grid(frame, chart);
  std::string legend;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    const std::string_view colour = kColours[i % std::size(kColours)];
    out += fmt::format(
        R"(<polyline fill="none" stroke="{}" stroke-width="2" stroke-dasharray="{}" points=")",
        colour,
        kDashes[i % std::size(kDashes)]);
    for (const auto& [x, y] : series.points)
      out += fmt::format("{:.1f},{:.1f} ", frame.X(x), frame.Y(y));
    out += "\"/>";
    legend += fmt::format(
        R"(<span><svg style="width:2rem;height:.7rem" viewBox="0 0 32 8"><line x1="0" x2="32" y1="4" y2="4" stroke="{}" stroke-width="2" stroke-dasharray="{}"/></svg> {}</span>)",
        colour,
        kDashes[i % std::size(kDashes)],
        Escaped(series.name));
  }
  return out + "</svg>\n<p class=\"legend\">" + legend + "</p>\n";
}

std::string Draw(const HtmlTable& table) {
  std::string out = fmt::format("<h2>{}</h2>\n<table>\n", Escaped(table.title));
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const std::string_view cell = i == 0 ? "th" : "td";
    out += "<tr>";
    for (const std::string& text : table.rows[i])
      out += fmt::format("<{}>{}</{}>", cell, Escaped(text), cell);
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

}  // namespace

std::string ToHtml(const HtmlPage& page) {
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\">"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">"
      "<title>{}</title><style>{}</style></head><body>\n<h1>{}</h1>\n",
      Escaped(page.title),
      kStyle,
      Escaped(page.title));
  for (const std::string& note : page.notes) out += "<p>" + Escaped(note) + "</p>\n";
  for (const HtmlTable& table : page.tables) out += Draw(table);
  for (const Chart& chart : page.charts) out += Draw(chart);
  return out + "</body></html>\n";
}

}  // namespace sluice::sim
