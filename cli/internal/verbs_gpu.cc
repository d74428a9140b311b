// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <fmt/core.h>
#include <memory>

#include "agent/inside.h"
#include "cli/cli.h"
#include "cli/internal/fields.h"
#include "cli/internal/print.h"
#include "cli/internal/share_view.h"
#include "cli/internal/verb.h"

namespace sluice::cli {
namespace {

std::string StateOf(const Json& gpu) {
  std::string state = Text(gpu, "health");
  if (const std::string mode = Text(gpu, "mode"); mode != "shared") state += ", " + mode;
  return state;
}

std::string ModelOf(const Json& gpu) {
  std::string model = Text(gpu, "model");
  if (Flag(gpu, "simulated") && model.find("simulated") == std::string::npos) {
    model += " (simulated)";
  }
  return model;
}

int ListGpus(Context& context) {
  const Json gpus = GpusInOrder(context.api);
  if (context.json) {
    OutJson(gpus);
    return kOk;
  }
  Table cards({"GPU", "MODEL", "MEMORY", "FREE", "USED", "BUSY", "STATE", "ID"});
  Table shares({"GPU", "SHARE", "OWNER", "MEMORY", "USED", "SINCE"});
  bool any_share = false;
  for (const Json& gpu : gpus) {
    const std::string index = std::to_string(Number(gpu, "index"));
    cards.Add({index,
               ModelOf(gpu),
               BytesText(gpu, "memory_bytes"),
               BytesText(gpu, "free_bytes"),
               BytesText(gpu, "used_bytes"),
               std::to_string(Number(gpu, "utilization_percent")) + "%",
               StateOf(gpu),
               Text(gpu, "id")});
    for (const Json& share : Array(gpu, "shares")) {
      any_share = true;
      const std::string run = Text(share, "run_command");
      shares.Add({index,
                  run.empty() ? Text(share, "name") : run,
                  Text(share, "owner"),
                  BytesText(share, "memory_bytes"),
                  BytesText(share, "used_bytes"),
                  TimeText(share, "since")});
    }
  }
  Out(cards.Lines("No GPU in this machine."));
  if (any_share) Out("\n" + shares.Lines(""));
  return kOk;
}

Action MakeList(CLI::App&) {
  return ListGpus;
}

Action MakeTest(CLI::App&) {
  return [](Context& context) { return TestDriver(context.json); };
}

Action ModeSetter(CLI::App& app, const std::string& mode) {
  auto id = std::make_shared<std::string>();
  app.add_option("GPU", *id, "Id or number; see: sluice gpu list")->required();
  return [id, mode](Context& context) {
    for (const Json& gpu : context.api.All("/v1/gpus")) {
      if (Text(gpu, "id") != *id && std::to_string(Number(gpu, "index")) != *id) continue;
      const Json changed = context.api.Change(PathOf("gpus", gpu), {{"mode", mode}});
      if (context.json) {
        OutJson(changed);
      } else {
        Out(fmt::format("{}: {}\n", Text(changed, "id"), StateOf(changed)));
      }
      return kOk;
    }
    Stop(kNotFound, "there is no GPU \"" + Safe(*id) + "\"; see: sluice gpu list");
  };
}

Action MakeCordon(CLI::App& app) {
  return ModeSetter(app, "cordoned");
}
Action MakeUncordon(CLI::App& app) {
  return ModeSetter(app, "shared");
}

constexpr Verb kVerbs[] = {
    {"gpu", "list", "The cards and the shares on them", MakeList},
    {"gpu", "test", "Allocate, free and launch by the driver API, and report", MakeTest},
    {"gpu", "cordon", "Place no new share on this card", MakeCordon},
    {"gpu", "uncordon", "Undo cordon", MakeUncordon},
};

}  // namespace

Action MakeGpu(CLI::App&) {
  return [](Context& context) {
    return agent::IsInside() ? ShowShare(context.json) : ListGpus(context);
  };
}

std::span<const Verb> GpuVerbs() {
  return kVerbs;
}

}  // namespace sluice::cli
