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

int64_t MemoryBytes(const std::string& text) {
  return ParseBytes(text)->value();
}

int64_t Seconds(const std::string& text) {
  return ParseDuration(text)->count() / 1'000;
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

}  // namespace sluice::cli
