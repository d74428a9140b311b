// SPDX-License-Identifier: Apache-2.0
#include "cli/internal/run.h"

#include <fmt/core.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "cli/cli.h"
#include "cli/internal/fields.h"
#include "cli/internal/print.h"
#include "instance/folders.h"
#include "instance/private_machine.h"
#include "runtime/command.h"

namespace sluice::cli {
namespace {

constexpr size_t kCommandShown = 200;

// The command's first words, for people.
std::string CommandText(const std::vector<std::string>& argv) {
  std::string text;
  for (const std::string& word : argv) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  return Safe(text.substr(0, kCommandShown));
}

int RunUnder(const agent::PreparedShare& share, const RunWish& wish) {
  const auto code = runtime::RunCommand(
      {.argv = wish.argv, .share = share, .cwd = {}, .environment = share.environment});
  if (!code) Stop(kRunFailed, code.error().message);
  return *code;
}

std::vector<std::string> Texts(const Json& array) {
  std::vector<std::string> texts;
  for (const Json& item : array) texts.push_back(item.get<std::string>());
  return texts;
}

agent::PreparedShare ShareOf(const Json& prepared) {
  agent::PreparedShare share;
  for (const Json& mount : Array(prepared, "mounts")) {
    share.mounts.push_back({.source = mount.value("source", ""),
                            .target = mount.value("target", ""),
                            .writable = Flag(mount, "writable")});
  }
  share.device_nodes = Texts(Array(prepared, "device_nodes"));
  share.library_dirs = Texts(Array(prepared, "library_dirs"));
  share.preload = prepared.value("preload", "");
  share.environment = Texts(Array(prepared, "environment"));
  return share;
}

// Waits in the queue, with a line whenever something changes.
Json UntilPlaced(Api& api, Json run) {
  const std::string path = "/v1/runs/" + Encoded(Text(run, "id"));
  std::string said;
  while (Text(run, "phase") == "pending") {
    const std::string line = fmt::format(
        "waiting for a GPU, position {}: {}\n", Number(run, "position"), Text(run, "reason"));
    if (line != said && Number(run, "position") > 0) {
      Err("sluice: " + line);
      said = line;
    }
    run = api.Get(fmt::format("{}?wait_s=20&wait_from={}", path, Encoded(Text(run, "wait_from"))));
  }
  if (Text(run, "phase") != "reserved") Stop(kRunFailed, Text(run, "reason"));
  return run;
}

int RunInInstance(Api& api, const RunWish& wish) {
  Json body{{"memory_bytes", MemoryBytes(wish.memory)},
            {"command", CommandText(wish.argv)},
            {"pid", getpid()},
            {"no_wait", wish.no_wait}};
  if (!wish.model.empty()) body["model"] = wish.model;
  for (const std::string& memory : wish.also) body["also_bytes"].push_back(MemoryBytes(memory));
  AddCompute(body, wish.compute, wish.cap);
  AddPriority(body, wish.priority);
  const Json run = UntilPlaced(api, api.Post("/v1/runs", body));
  const std::string path = "/v1/runs/" + Encoded(Text(run, "id"));
  const Json started = api.Post(path + "/start", nullptr);
  const int code = RunUnder(ShareOf(Object(started, "prepared")), wish);
  try {
    const Json answer = api.Delete(path, "");
  } catch (const CommandFailed&) {
    // The instance notices the end of this process by itself.
  }
  return code;
}

int RunPrivately(const RunWish& wish) {
  if (!wish.also.empty()) Stop(kRunFailed, "--also needs an instance; start one with: sluice up");
  instance::PrivateOptions options;
  if (!wish.simulate.empty()) options.simulate = wish.simulate;
  auto machine = instance::PrivateMachine::Create(options);
  if (!machine) Stop(kRunFailed, machine.error().message);
  std::optional<ComputeMillis> guarantee;
  if (!wish.compute.empty()) guarantee = ComputeMillis(10 * Percent(wish.compute));
  const auto share = (*machine)->Take({.memory = Bytes(MemoryBytes(wish.memory)),
                                       .guarantee = guarantee,
                                       .cap = ComputeMillis(10 * Percent(wish.cap)),
                                       .gpu_model = wish.model,
                                       .command = CommandText(wish.argv)});
  if (!share) Stop(kRunFailed, share.error().message);
  if ((*machine)->simulated())
    Err("sluice: no instance runs; a simulated GPU of this command's own\n");
  return RunUnder(*share, wish);
}

bool InstanceRuns(Api& api) {
  struct stat info {};
  const std::string socket = instance::SocketOf(api.LocalStateFolder());
  if (stat(socket.c_str(), &info) != 0) return false;
  try {
    const std::string answer = api.GetText("/healthz");
    return true;
  } catch (const CommandFailed& failed) {
    // A socket that nobody serves any more.
    if (failed.failure.status == 0) return false;
    throw;
  }
}

}  // namespace

int Run(Api& api, const RunWish& wish) {
  if (!api.options().server.empty()) {
    Stop(kRunFailed, "run works on this machine; leave --server out");
  }
  try {
    if (wish.simulate.empty() && InstanceRuns(api)) return RunInInstance(api, wish);
    return RunPrivately(wish);
  } catch (CommandFailed& failed) {
    failed.failure.exit_code = kRunFailed;
    throw;
  }
}

}  // namespace sluice::cli
