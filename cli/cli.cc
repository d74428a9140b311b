// SPDX-License-Identifier: Apache-2.0
#include "cli/cli.h"

#include <exception>
#include <string>

#include "cli/internal/print.h"
#include "cli/internal/suggest.h"
#include "cli/internal/verb.h"

namespace sluice::cli {
namespace {

int Report(const Failure& failure, bool json) {
  if (json) {
    OutJson({{"error", {{"code", failure.code}, {"text", failure.text}}}});
  } else {
    Err("sluice: " + failure.text + "\n");
  }
  return failure.exit_code;
}

// Whether what is missing is a verb: then the verbs there are say more than an error.
bool LacksVerb(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return !at->get_subcommands([](const CLI::App*) { return true; }).empty();
}

}  // namespace

int Main(int argc, char** argv) {
  CLI::App app("", "sluice");
  ApiOptions options;
  bool json = false;
  Action chosen;
  BuildParser(app, options, json, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (const std::string wrong = WrongVerb(app, argc, argv); !wrong.empty()) {
      Err("sluice: " + wrong + "\n");
      return kUsage;
    }
    if (error.get_name() == "RequiredError" && LacksVerb(app)) {
      Err(HelpOfNamed(app, argc, argv));
      return kUsage;
    }
    const int code = app.exit(error);
    return code == 0 ? kOk : kUsage;
  }
  Api api(options);
  Context context{api, json};
  try {
    return chosen ? chosen(context) : kUsage;
  } catch (const CommandFailed& failed) {
    return Report(failed.failure, json);
  } catch (const std::exception& error) {
    return Report({.exit_code = kError, .text = error.what(), .code = {}}, json);
  }
}

}  // namespace sluice::cli
