// SPDX-License-Identifier: Apache-2.0
#include "cli/internal/share_view.h"

#include <fmt/core.h>

#include "agent/inside.h"
#include "cli/cli.h"
#include "cli/internal/print.h"

namespace sluice::cli {
namespace {

Json JsonOf(const agent::InsideView& view) {
  Json json{{"claim_id", view.claim}, {"label", view.label}};
  json["devices"] = Json::array();
  for (const agent::InsideDevice& device : view.devices) {
    json["devices"].push_back({{"gpu_id", device.uuid},
                               {"simulated", device.simulated},
                               {"limit_bytes", device.limit.value()},
                               {"used_bytes", device.used.value()},
                               {"overhead_bytes", device.overhead.value()},
                               {"peak_bytes", device.peak.value()},
                               {"refused", device.refused},
                               {"guarantee_percent", WholePercent(device.guarantee)},
                               {"cap_percent", WholePercent(device.cap)},
                               {"compute_percent", WholePercent(device.compute_used)},
                               {"waiting_percent", WholePercent(device.compute_waiting)}});
  }
  json["processes"] = Json::array();
  for (const agent::InsideProcess& process : view.processes) {
    Json memory = Json::array();
    for (const Bytes bytes : process.memory) memory.push_back(bytes.value());
    json["processes"].push_back(
        {{"pid", process.pid}, {"command", process.command}, {"memory_bytes", std::move(memory)}});
  }
  return json;
}

// "[#####...............]": how much of the limit is in use.
std::string Meter(Bytes used, Bytes limit) {
  constexpr int kColumns = 30;
  const int64_t filled = limit.value() > 0 ? used.value() * kColumns / limit.value() : 0;
  std::string meter = "[";
  for (int i = 0; i < kColumns; ++i) meter += i < filled ? '#' : '.';
  return meter + "]";
}

std::string WordsOf(const agent::InsideView& view) {
  std::string text;
  if (!view.label.empty()) text += Safe(view.label) + "\n";
  for (const agent::InsideDevice& device : view.devices) {
    text += fmt::format("GPU share{}  {}  {} of {} in use, peak {}\n",
                        device.simulated ? " (simulated)" : "",
                        Meter(device.used, device.limit),
                        ToText(device.used),
                        ToText(device.limit),
                        ToText(device.peak));
    const std::string promise =
        device.guarantee.value() > 0
            ? fmt::format("{} % of its time guaranteed", WholePercent(device.guarantee))
            : "what others leave of its time";
    const std::string cap =
        device.cap.value() > 0 ? fmt::format(", at most {} %", WholePercent(device.cap)) : "";
    text += fmt::format("{}{}; in the last second {} % used, {} % waited for\n",
                        promise,
                        cap,
                        WholePercent(device.compute_used),
                        WholePercent(device.compute_waiting));
    if (device.refused > 0) {
      text += fmt::format("{} allocations were refused because they would have passed the limit\n",
                          device.refused);
    }
  }
  Table table({"PID", "MEMORY", "COMMAND"});
  for (const agent::InsideProcess& process : view.processes) {
    std::string memory;
    for (const Bytes bytes : process.memory) {
      memory += (memory.empty() ? "" : " + ") + ToText(bytes);
    }
    table.Add({std::to_string(process.pid), memory, Safe(process.command)});
  }
  return text + table.Lines("No program uses the GPU now.");
}

Json JsonOf(const agent::TestReport& report) {
  Json json{{"passed", report.passed()},
            {"device", report.device},
            {"driver_version", report.driver_version},
            {"simulated", report.simulated},
            {"total_bytes", report.total.value()},
            {"steps", Json::array()}};
  for (const agent::TestStep& step : report.steps) {
    json["steps"].push_back({{"name", step.name},
                             {"passed", step.passed},
                             {"detail", step.detail},
                             {"micros", step.micros}});
  }
  return json;
}

std::string WordsOf(const agent::TestReport& report) {
  const bool said = report.device.find("simulated") != std::string::npos;
  std::string text = fmt::format("{}{}, {}, driver {}\n",
                                 Safe(report.device),
                                 report.simulated && !said ? " (simulated)" : "",
                                 ToText(report.total),
                                 Safe(report.driver_version));
  Table table({"STEP", "RESULT", "TIME", "DETAIL"});
  for (const agent::TestStep& step : report.steps) {
    table.Add({Safe(step.name),
               step.passed ? "passed" : "FAILED",
               fmt::format("{} us", step.micros),
               Safe(step.detail)});
  }
  text += table.Lines("The driver did nothing.");
  return text + (report.passed() ? "The GPU works.\n" : "The GPU does not work as it should.\n");
}

}  // namespace

int ShowShare(bool json) {
  const auto view = agent::LookInside();
  if (!view) Stop(kError, view.error().message);
  if (json) {
    OutJson(JsonOf(*view));
  } else {
    Out(WordsOf(*view));
  }
  return kOk;
}

int TestDriver(bool json) {
  const auto report = agent::TestGpu();
  if (!report) Stop(kError, report.error().message);
  if (json) {
    OutJson(JsonOf(*report));
  } else {
    Out(WordsOf(*report));
  }
  return report->passed() ? kOk : kError;
}

}  // namespace sluice::cli
