// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <map>
#include <string>
#include <vector>

#include "cli/internal/verb.h"

namespace sluice::cli {
namespace {

constexpr std::array kGroups = {
    Group{"desktop", "Desktops: list, create, open, stop, …", nullptr},
    Group{"gpu", "The cards; inside a share: its limit, use and processes", MakeGpu},
    Group{"pool", "The cards' rules: list, show, set, consolidate", nullptr},
    Group{"team", "Who shares a part of the cards: list, add, set, delete", nullptr},
    Group{"reservation", "What is kept for teams: list, add, delete", nullptr},
    Group{"queue", "Who waits for a share", nullptr},
    Group{"template", "What desktops are made from", nullptr},
    Group{"user", "People and roles (admins)", nullptr},
    Group{"token", "Tokens for programs", nullptr},
    Group{"audit", "Who did what", nullptr},
    Group{"sim", "Play traces against fleets and policies, without an instance", nullptr},
};

}  // namespace

std::span<const Group> Groups() {
  return kGroups;
}

std::vector<Verb> AllVerbs() {
  std::vector<Verb> all;
  for (const std::span<const Verb> verbs : {InstanceVerbs(),
                                            DesktopVerbs(),
                                            GpuVerbs(),
                                            PoolVerbs(),
                                            TeamVerbs(),
                                            ReservationVerbs(),
                                            ConsolidateVerbs(),
                                            AdminVerbs(),
                                            SimVerbs(),
                                            PlanVerbs()}) {
    all.insert(all.end(), verbs.begin(), verbs.end());
  }
  return all;
}

void BuildParser(CLI::App& app, ApiOptions& options, bool& json, Action& chosen) {
  app.description(
      "GPU desktops and shares. The verbs act on the instance of this machine; --server "
      "and --token choose another.");
  app.set_help_all_flag("--help-all", "Help on every verb");
  app.footer(
      "Exit codes: 0 done, 1 failed, 2 wrong words, 3 not found, 4 refused, 5 no instance "
      "answers, 6 not signed in, 7 waited in vain; run: the command's own, 125 when it could "
      "not be started.");
  app.fallthrough();
  app.add_option("--state", options.state, "State folder of the instance; its socket is used")
      ->envname("SLUICE_STATE");
  app.add_option("--server", options.server, "Another machine's address: https://host:port")
      ->envname("SLUICE_SERVER");
  app.add_option("--token", options.token, "Token for --server; see: sluice token create")
      ->envname("SLUICE_TOKEN");
  app.add_option("--ca", options.ca, "PEM file of a certificate to trust")->envname("SLUICE_CA");
  app.add_option("--fingerprint", options.fingerprint, "Trust exactly this certificate (SHA-256)")
      ->envname("SLUICE_FINGERPRINT");
  app.add_flag("--json", json, "Print the API's answer instead of words");
  app.require_subcommand(1);
  std::map<std::string_view, CLI::App*> groups;
  const auto choose = [&chosen](CLI::App* verb, Action action) {
    verb->callback([&chosen, action = std::move(action)] { chosen = action; });
  };
  // A group comes where its first verb stands.
  for (const Verb& verb : AllVerbs()) {
    CLI::App* parent = &app;
    if (!verb.group.empty()) {
      CLI::App*& group = groups[verb.group];
      for (const Group& row : Groups()) {
        if (group != nullptr || row.name != verb.group) continue;
        group = app.add_subcommand(std::string(row.name), std::string(row.help));
        if (row.make == nullptr) {
          group->require_subcommand(1);
        } else {
          group->require_subcommand(0, 1);
          // Only when no verb below it was chosen, which would have run first.
          group->callback([&chosen, action = row.make(*group)] {
            if (!chosen) chosen = action;
          });
        }
      }
      parent = group;
    }
    CLI::App* sub = parent->add_subcommand(std::string(verb.name), std::string(verb.help));
    choose(sub, verb.make(*sub));
  }
}

}  // namespace sluice::cli
