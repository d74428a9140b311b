// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/metrics.h"

#include <array>
#include <fmt/format.h>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/host_name.h"

namespace sluice::portal {
namespace {

using agent::CardState;

struct CardMetric {
  std::string_view name;
  std::string_view help;
  int64_t (*value)(const CardState&);
};

constexpr std::array<CardMetric, 5> kCardMetrics = {{
    {"DCGM_FI_DEV_FB_USED",
     "Memory used (MiB).",
     [](const CardState& card) { return card.use.memory_used.value() >> 20; }},
    {"DCGM_FI_DEV_FB_FREE",
     "Memory not used (MiB).",
     [](const CardState& card) {
       return (card.gpu.memory.value() - card.use.memory_used.value()) >> 20;
     }},
    {"DCGM_FI_DEV_GPU_UTIL",
     "Utilization (%).",
     [](const CardState& card) -> int64_t { return card.use.utilization_percent; }},
    {"DCGM_FI_DEV_GPU_TEMP",
     "Temperature (degrees C).",
     [](const CardState& card) -> int64_t { return card.use.temperature_c; }},
    {"DCGM_FI_DEV_POWER_USAGE",
     "Power (W).",
     [](const CardState& card) -> int64_t { return card.use.power_mw / 1'000; }},
}};

struct ShareMetric {
  std::string_view name;
  std::string_view help;
  int64_t (*value)(const Gpu&);
};

constexpr std::array<ShareMetric, 3> kShareMetrics = {{
    {"sluice_gpu_memory_held_bytes",
     "Memory that shares hold.",
     [](const Gpu& gpu) { return MemoryHeld(gpu).value(); }},
    {"sluice_gpu_memory_free_bytes",
     "Memory that a new share could get.",
     [](const Gpu& gpu) { return MemoryFree(gpu).value(); }},
    {"sluice_gpu_shares",
     "Shares on the card.",
     [](const Gpu& gpu) { return static_cast<int64_t>(gpu.shares.size()); }},
}};

void Head(std::string& text, std::string_view name, std::string_view help, std::string_view type) {
  text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

// A label's value; what comes from a vendor library may hold anything.
std::string Label(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string CardLabels(const Gpu& gpu, const std::string& host) {
  return fmt::format("gpu=\"{}\",UUID=\"{}\",modelName=\"{}\",Hostname=\"{}\",simulated=\"{}\"",
                     gpu.index,
                     Label(gpu.id.text()),
                     Label(gpu.model),
                     Label(host),
                     gpu.simulated);
}

void AppendCards(std::string& text, App& app) {
  const auto cards = app.agent.Cards();
  const std::string host = HostName();
  if (cards) {
    for (const CardMetric& metric : kCardMetrics) {
      Head(text, metric.name, metric.help, "gauge");
      for (const CardState& card : *cards) {
        text += fmt::format(
            "{}{{{}}} {}\n", metric.name, CardLabels(card.gpu, host), metric.value(card));
      }
    }
  }
  const auto gpus = app.objects.List<Gpu>();
  if (!gpus) return;
  for (const ShareMetric& metric : kShareMetrics) {
    Head(text, metric.name, metric.help, "gauge");
    for (const auto& gpu : gpus->objects) {
      text += fmt::format(
          "{}{{{}}} {}\n", metric.name, CardLabels(gpu->value, host), metric.value(gpu->value));
    }
  }
}

struct UseMetric {
  std::string_view name;
  std::string_view help;
  double (*value)(const agent::DeviceUsage&);
};

double Ratio(ComputeMillis compute) {
  return static_cast<double>(compute.value()) / 1'000;
}

constexpr std::array<UseMetric, 8> kUseMetrics = {{
    {"sluice_share_memory_limit_bytes",
     "Memory of the share.",
     [](const agent::DeviceUsage& use) { return static_cast<double>(use.limit.value()); }},
    {"sluice_share_memory_used_bytes",
     "Memory that its programs hold.",
     [](const agent::DeviceUsage& use) { return static_cast<double>(use.used.value()); }},
    {"sluice_share_memory_drift_bytes",
     "The part of it that no call showed; found at the driver.",
     [](const agent::DeviceUsage& use) { return static_cast<double>(use.overhead.value()); }},
    {"sluice_share_allocations_refused",
     "Allocations answered with out of memory since the share began.",
     [](const agent::DeviceUsage& use) { return static_cast<double>(use.refused); }},
    {"sluice_share_bypassing_programs",
     "Programs, alive now, that hold memory of the card round the share's ledger.",
     [](const agent::DeviceUsage& use) { return static_cast<double>(use.bypassing); }},
    {"sluice_share_compute_guarantee_ratio",
     "Part of the card's time that is always there.",
     [](const agent::DeviceUsage& use) { return Ratio(use.guarantee); }},
    {"sluice_share_compute_used_ratio",
     "Part of the card's time that it had in the last second.",
     [](const agent::DeviceUsage& use) { return Ratio(use.compute_used); }},
    {"sluice_share_compute_waiting_ratio",
     "Part of the last second in which its programs waited for the card.",
     [](const agent::DeviceUsage& use) { return Ratio(use.compute_waiting); }},
}};

// One line per share and card.
void AppendShares(std::string& text, App& app) {
  const auto claims = app.objects.List<Claim>();
  if (!claims) return;
  std::vector<std::pair<std::string, agent::DeviceUsage>> uses;
  for (const auto& claim : claims->objects) {
    if (claim->value.allocations.empty()) continue;
    const auto usage = app.agent.Usage(claim->value.id);
    if (!usage) continue;
    for (const agent::DeviceUsage& use : usage->devices) {
      uses.emplace_back(fmt::format("claim=\"{}\",desktop=\"{}\",UUID=\"{}\"",
                                    Label(claim->value.id.text()),
                                    Label(claim->value.desktop.text()),
                                    Label(use.gpu.text())),
                        use);
    }
  }
  for (const UseMetric& metric : kUseMetrics) {
    Head(text, metric.name, metric.help, "gauge");
    for (const auto& [labels, use] : uses) {
      text += fmt::format("{}{{{}}} {}\n", metric.name, labels, metric.value(use));
    }
  }
}

void AppendDesktops(std::string& text, App& app) {
  std::map<std::string_view, int> states;
  if (const auto desktops = app.objects.List<Desktop>()) {
    for (const auto& desktop : desktops->objects) ++states[ToString(desktop->value.state)];
  }
  Head(text, "sluice_desktops", "Desktops by state.", "gauge");
  for (const auto& [state, count] : states) {
    text += fmt::format("sluice_desktops{{state=\"{}\"}} {}\n", state, count);
  }
  int waiting = 0;
  if (const auto claims = app.objects.List<Claim>()) {
    for (const auto& claim : claims->objects) {
      if (claim->value.phase == ClaimPhase::kPending) ++waiting;
    }
  }
  Head(text, "sluice_queue_length", "Claims that wait for a share.", "gauge");
  text += fmt::format("sluice_queue_length {}\n", waiting);
  Head(text, "sluice_viewers", "Open connections to desktops.", "gauge");
  text += fmt::format("sluice_viewers {}\n", app.viewers.Total());
}

}  // namespace

std::string MetricsText(App& app) {
  std::string text;
  AppendCards(text, app);
  AppendShares(text, app);
  AppendDesktops(text, app);
  Head(text, "sluice_audit_rows_lost_total", "Audit rows that could not be stored.", "counter");
  text += fmt::format("sluice_audit_rows_lost_total {}\n", app.audit.lost());
  Head(text, "sluice_build_info", "Which Sluice this is.", "gauge");
  text += fmt::format("sluice_build_info{{version=\"{}\"}} 1\n", Label(app.options.version));
  return text;
}

}  // namespace sluice::portal
