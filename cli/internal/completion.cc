// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <string>
#include <vector>

#include "cli/internal/verb.h"

namespace sluice::cli {
namespace {

// The words that may follow the verbs typed so far.
std::string WordsAfter(const CLI::App& app) {
  std::string words;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    words += verb->get_name() + " ";
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  }
  return words;
}

// One case of a shell's `case "$verbs" in`.
std::string Cases(const CLI::App& app, const std::string& typed, const std::string& line) {
  std::string cases = fmt::format(fmt::runtime(line), typed, WordsAfter(app));
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    cases += Cases(*verb, typed + " " + verb->get_name(), line);
  }
  return cases;
}

// Words up to the cursor that are verbs, joined: what the cases are told apart by. The same code
// serves bash and zsh, whose arrays count from 0 and from 1.
constexpr const char* kBash = R"(_sluice() {{
  local word verbs="" words=""
  for word in "${{COMP_WORDS[@]:0:COMP_CWORD}}"; do
    case "$word" in -*) ;; *) verbs="$verbs ${{word##*/}}" ;; esac
  done
  while :; do
    case "$verbs" in
{}    esac
    [ -n "$words" ] && break
    case "$verbs" in *" "*" "*) verbs="${{verbs% *}}" ;; *) break ;; esac
  done
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _sluice sluice
)";

constexpr const char* kZsh = R"(#compdef sluice
_sluice() {{
  local word verbs="" found=""
  for word in "${{words[@]:0:$((CURRENT-1))}}"; do
    case "$word" in -*) ;; *) verbs="$verbs ${{word##*/}}" ;; esac
  done
  while :; do
    case "$verbs" in
{}    esac
    [ -n "$found" ] && break
    case "$verbs" in *" "*" "*) verbs="${{verbs% *}}" ;; *) break ;; esac
  done
  compadd -- ${{(s: :)found}}
}}
compdef _sluice sluice
)";

std::string FishLines(const CLI::App& app, const std::vector<std::string>& typed) {
  std::string condition = typed.empty() ? "__fish_use_subcommand" : "";
  for (const std::string& verb : typed) {
    condition += (condition.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + verb);
  }
  std::string lines;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    lines += fmt::format("complete -c sluice -f -n '{}' -a {}\n", condition, verb->get_name());
    std::vector<std::string> next = typed;
    next.push_back(verb->get_name());
    lines += FishLines(*verb, next);
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      lines += fmt::format("complete -c sluice -n '{}' -l {}\n", condition, name);
    }
  }
  return lines;
}

}  // namespace

std::string CompletionScript(const CLI::App& app, std::string_view shell) {
  if (shell == "bash") {
    return fmt::format(kBash, Cases(app, " sluice", "      \"{}\") words=\"{}\" ;;\n"));
  }
  if (shell == "zsh") {
    return fmt::format(kZsh, Cases(app, " sluice", "      \"{}\") found=\"{}\" ;;\n"));
  }
  if (shell == "fish") return FishLines(app, {});
  return {};
}

}  // namespace sluice::cli
