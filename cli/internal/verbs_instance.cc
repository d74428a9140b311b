// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <memory>

#include "cli/cli.h"
#include "cli/internal/fields.h"
#include "cli/internal/print.h"
#include "cli/internal/run.h"
#include "cli/internal/top.h"
#include "cli/internal/up.h"
#include "cli/internal/verb.h"
#include "instance/version.h"

namespace sluice::cli {
namespace {

Action MakeUp(CLI::App& app) {
  struct Wish {
    instance::InstanceOptions options;
    std::string simulate;
  };
  auto wish = std::make_shared<Wish>();
  instance::InstanceOptions& options = wish->options;
  app.add_option(
         "--address", options.address, "Address to listen on; other than loopback means TLS")
      ->envname("SLUICE_ADDRESS")
      ->capture_default_str();
  app.add_option("--port", options.port, "Port to listen on; 0: any that is free")
      ->envname("SLUICE_PORT")
      ->capture_default_str();
  app.add_option("--simulate",
                 wish->simulate,
                 "Simulated cards: 2x24GiB, or 1x80GiB,4x24GiB; default: the machine's cards or, "
                 "where it has none, the simulated ones of the last time or 2x24GiB")
      ->envname("SLUICE_SIMULATE");
  app.add_flag("--tls", options.tls, "TLS on loopback too; default: only on other addresses");
  app.add_option("--tls-certificate",
                 options.tls_certificate,
                 "PEM file of the certificate; default: one is made")
      ->envname("SLUICE_TLS_CERTIFICATE");
  app.add_option("--tls-key", options.tls_key, "PEM file of the certificate's key")
      ->envname("SLUICE_TLS_KEY");
  app.add_option("--name",
                 options.names,
                 "A further name for the certificate that is made; default: the host's name, "
                 "localhost and the address");
  app.add_option("--cgroup",
                 options.cgroup_folders,
                 "A control group folder handed to Sluice, for CPU and memory limits; default: "
                 "none, limits are then per process");
  app.add_flag("--hardened",
               options.hardened,
               "Libraries of Sluice in the driver's place inside shares: more ways to the driver "
               "meet the limit; default: the preload alone")
      ->envname("SLUICE_HARDENED");
  app.add_option("--web", options.web_root, "Folder of the web client; default: the built one");
  app.get_option("--tls-certificate")->needs(app.get_option("--tls-key"));
  app.get_option("--tls-key")->needs(app.get_option("--tls-certificate"));
  return [wish](Context& context) {
    wish->options.state_folder = context.api.options().state;
    if (!wish->simulate.empty()) wish->options.simulate = wish->simulate;
    return Up(wish->options);
  };
}

Action MakeRun(CLI::App& app) {
  auto wish = std::make_shared<RunWish>();
  app.add_option("--memory", wish->memory, "GPU memory of the share, for example 6GiB")
      ->required()
      ->check(kMemory);
  app.add_option("--also",
                 wish->also,
                 "GPU memory of a further share on another card; may be given several times: all "
                 "are given together, or none; default: no other")
      ->check(kMemory)
      ->allow_extra_args(false);
  AddComputeOptions(app, wish->compute, wish->cap);
  AddPriorityOption(app, wish->priority);
  app.add_option(
      "--model", wish->model, "Only on this card model; see: sluice gpu list; default: any");
  app.add_flag("--no-wait", wish->no_wait, "Fail rather than wait in the queue; default: wait");
  app.add_option(
      "--simulate",
      wish->simulate,
      "A simulated GPU of its own, for example 1x24GiB; default: a share of the instance, "
      "or of the machine's cards when none runs");
  app.add_option("COMMAND", wish->argv, "The command and its arguments, after --")->required();
  // What follows the command's first word is its own.
  app.prefix_command(false);
  app.positionals_at_end(true);
  return [wish](Context& context) { return Run(context.api, *wish); };
}

Action MakeTop(CLI::App& app) {
  auto once = std::make_shared<bool>(false);
  app.add_flag("--once", *once, "Print once and end");
  return [once](Context& context) {
    if (!context.json) return Top(context.api, *once);
    OutJson({{"gpus", context.api.All("/v1/gpus")}, {"queue", context.api.All("/v1/queue")}});
    return static_cast<int>(kOk);
  };
}

Action MakeVersion(CLI::App&) {
  return [](Context& context) {
    if (context.json) {
      OutJson({{"version", instance::kVersion}});
    } else {
      Out(fmt::format("sluice {}\n", instance::kVersion));
    }
    return kOk;
  };
}

Action MakeCompletion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  const CLI::App* top = &app;
  while (top->get_parent() != nullptr) top = top->get_parent();
  return [shell, top](Context&) {
    Out(CompletionScript(*top, *shell));
    return kOk;
  };
}

Action MakeHelp(CLI::App& app) {
  const CLI::App* top = app.get_parent();
  return [top](Context&) {
    Out(top->help());
    return kOk;
  };
}

constexpr Verb kVerbs[] = {
    {"", "up", "Start Sluice on this machine", MakeUp},
    {"", "run", "Run a command under a share of a GPU", MakeRun},
    {"", "top", "Cards, shares and the queue, live", MakeTop},
    {"", "version", "The version of this program", MakeVersion},
    {"", "completion", "Shell completion: source <(sluice completion bash)", MakeCompletion},
    {"", "help", "This text", MakeHelp},
};

}  // namespace

std::span<const Verb> InstanceVerbs() {
  return kVerbs;
}

}  // namespace sluice::cli
