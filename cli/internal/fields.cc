// SPDX-License-Identifier: Apache-2.0
#include "cli/internal/fields.h"

#include <algorithm>
#include <fmt/core.h>
#include <utility>

#include "base/units.h"
#include "cli/cli.h"
#include "cli/internal/print.h"

namespace sluice::cli {

const CLI::Validator kMemory(
    [](std::string& text) {
      const auto bytes = ParseBytes(text);
      if (!bytes) return bytes.error().message;
      return bytes->value() > 0 ? std::string() : "must be more than nothing";
    },
    "SIZE");

const CLI::Validator kTimeSpan(
    [](std::string& text) {
      const auto span = ParseDuration(text);
      return span ? std::string() : span.error().message;
    },
    "TIME");

namespace {

// "30" is 30% here.
Result<ComputeMillis> ReadPercent(const std::string& text) {
  return ParseCompute(text.ends_with('%') ? text : text + "%");
}

}  // namespace

const CLI::Validator kPercent(
    [](std::string& text) {
      const auto compute = ReadPercent(text);
      if (!compute) return compute.error().message;
      return compute->value() % 10 == 0 ? std::string() : "must be a whole number of percents";
    },
    "PERCENT");

int64_t MemoryBytes(const std::string& text) {
  return ParseBytes(text)->value();
}

int64_t Seconds(const std::string& text) {
  return ParseDuration(text)->count() / 1'000;
}

int64_t Percent(const std::string& text) {
  return text.empty() ? 0 : WholePercent(*ReadPercent(text));
}

void AddComputeOptions(CLI::App& app, std::string& compute, std::string& cap) {
  app.add_option("--compute",
                 compute,
                 "GPU time that is always there when wanted, for example 30%; 0%: what others "
                 "leave; default: as the memory's part of the card")
      ->check(kPercent);
  app.add_option(
         "--cap", cap, "Never more GPU time than this, even if the card is idle; default: no cap")
      ->check(kPercent);
}

void AddCompute(Json& request, const std::string& compute, const std::string& cap) {
  if (!compute.empty()) request["guarantee_percent"] = Percent(compute);
  if (!cap.empty()) request["cap_percent"] = Percent(cap);
}

void AddPriorityOption(CLI::App& app, int& priority) {
  app.add_option(
         "--priority",
         priority,
         "Place in the queue, and in a pool with strict priority on the card: higher first, "
         "-100 to 100; above 0: operators only")
      ->check(CLI::Range(-100, 100))
      ->capture_default_str();
}

void AddPriority(Json& request, int priority) {
  if (priority != 0) request["priority"] = priority;
}

std::string PathOf(const std::string& collection, const Json& object) {
  return "/v1/" + collection + "/" + Encoded(Text(object, "id"));
}

Json GpusInOrder(Api& api) {
  Json gpus = api.All("/v1/gpus");
  std::stable_sort(gpus.begin(), gpus.end(), [](const Json& a, const Json& b) {
    return std::pair(Text(a, "node"), Number(a, "index")) <
           std::pair(Text(b, "node"), Number(b, "index"));
  });
  return gpus;
}

Json VisibleDesktops(Api& api) {
  try {
    return api.All("/v1/desktops?owner=all");
  } catch (const CommandFailed& failed) {
    if (failed.failure.status != 403) throw;
    return api.All("/v1/desktops");
  }
}

namespace {

Json FindIn(const Json& items, const std::string& name, const std::string& what) {
  const Json* found = nullptr;
  std::string names;
  for (const Json& item : items) {
    if (Text(item, "id") == name) return item;
    if (!names.empty()) names += ", ";
    names += Text(item, "name");
    if (item.value("name", "") != name) continue;
    if (found != nullptr) {
      Stop(kUsage,
           fmt::format("there is more than one {} named \"{}\"; say its id", what, Safe(name)));
    }
    found = &item;
  }
  if (found == nullptr) {
    Stop(kNotFound,
         fmt::format("there is no {} \"{}\"{}",
                     what,
                     Safe(name),
                     names.empty() ? "" : "; there are: " + names));
  }
  return *found;
}

}  // namespace

Json FindDesktop(Api& api, const std::string& name) {
  return FindIn(VisibleDesktops(api), name, "desktop");
}

Json FindUser(Api& api, const std::string& name) {
  return FindIn(api.All("/v1/users"), name, "user");
}

Json FindTeam(Api& api, const std::string& name) {
  return FindIn(api.All("/v1/teams"), name, "team");
}

}  // namespace sluice::cli
