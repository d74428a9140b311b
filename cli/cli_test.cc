// SPDX-License-Identifier: Apache-2.0
#include "cli/cli.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>
#include <stdlib.h>
#include <string>
#include <utility>
#include <vector>

#include "cli/internal/print.h"
#include "cli/internal/suggest.h"
#include "cli/internal/verb.h"

namespace sluice::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Parser {
 public:
  Parser() { BuildParser(app, options, json, chosen); }
  CLI::App app{"", "sluice"};
  ApiOptions options;
  bool json = false;
  Action chosen;
};

TEST(VerbTable, HasUniqueRowsWithHelpInKnownGroups) {
  std::set<std::string> seen;
  std::set<std::string_view> groups{""};
  for (const Group& group : Groups()) {
    EXPECT_FALSE(group.help.empty()) << group.name;
    EXPECT_TRUE(groups.insert(group.name).second) << group.name;
  }
  for (const Verb& verb : AllVerbs()) {
    const std::string path = std::string(verb.group) + " " + std::string(verb.name);
    EXPECT_TRUE(seen.insert(path).second) << path;
    EXPECT_TRUE(groups.contains(verb.group)) << path;
    EXPECT_FALSE(verb.help.empty()) << path;
    EXPECT_NE(verb.make, nullptr) << path;
  }
}

TEST(VerbTable, DescribesEveryOption) {
  Parser parser;
  const auto check = [](const CLI::App* app, const auto& self) -> void {
    for (const CLI::Option* option : app->get_options()) {
      EXPECT_FALSE(option->get_description().empty())
          << app->get_name() << " " << option->get_name();
    }
    for (const CLI::App* verb : app->get_subcommands([](const CLI::App*) { return true; })) {
      self(verb, self);
    }
  };
  check(&parser.app, check);
}

TEST(VerbTable, SaysWhatHappensWithoutAnOption) {
  Parser parser;
  for (const char* verb : {"up", "run"}) {
    for (const CLI::Option* option : parser.app.get_subcommand(verb)->get_options()) {
      const bool asks = option->get_required() || option->get_items_expected_max() == 0;
      const bool paired = !option->get_needs().empty();
      if (asks || paired || !option->get_default_str().empty()) continue;
      EXPECT_THAT(option->get_description(), HasSubstr("default: ")) << verb << option->get_name();
    }
  }
}

TEST(Parsing, PassesEverythingAfterTheDashesToTheCommand) {
  Parser parser;
  parser.app.parse("run --memory 1GiB -- python --json --memory x -c print");
  EXPECT_TRUE(parser.chosen);
  EXPECT_FALSE(parser.json);
  const CLI::Option* command = parser.app.get_subcommand("run")->get_option("COMMAND");
  EXPECT_EQ(command->results(),
            (std::vector<std::string>{"python", "--json", "--memory", "x", "-c", "print"}));
}

TEST(Parsing, TakesGlobalOptionsBehindTheVerb) {
  Parser parser;
  parser.app.parse("desktop list --json --state /tmp/x");
  EXPECT_TRUE(parser.json);
  EXPECT_EQ(parser.options.state, "/tmp/x");
}

TEST(Parsing, RefusesWrongSizesAndTimes) {
  for (const char* line : {"run --memory 1GB -- true",
                           "run --memory 0 -- true",
                           "run -- true",
                           "run --memory 1GiB",
                           "desktop create a --run-for soon",
                           "desktop wait a --for never",
                           "user role lina boss",
                           "pool set shared --bypass-rule shoot",
                           "team add",
                           "team set Perception --limit much",
                           "pool set shared --strict-priority maybe",
                           "up --tls-key k"}) {
    Parser parser;
    EXPECT_THROW(parser.app.parse(line), CLI::ParseError) << line;
  }
}

TEST(Suggestion, NamesTheVerbThatWasProbablyMeant) {
  Parser parser;
  const auto wrong = [&](std::vector<const char*> argv) {
    argv.insert(argv.begin(), "sluice");
    return WrongVerb(parser.app, static_cast<int>(argv.size()), argv.data());
  };
  EXPECT_THAT(wrong({"dekstop", "list"}), HasSubstr("did you mean \"desktop\"?"));
  EXPECT_THAT(wrong({"desktop", "crate"}), HasSubstr("did you mean \"desktop create\"?"));
  EXPECT_THAT(wrong({"--state", "/tmp/x", "lsit"}), HasSubstr("no verb \"lsit\""));
  EXPECT_THAT(wrong({"xyzzy"}), Not(HasSubstr("mean")));
  EXPECT_EQ(wrong({"desktop", "show", "one"}), "");
  EXPECT_EQ(wrong({"run", "--", "dekstop"}), "");
  EXPECT_EQ(EditDistance("list", "lsit"), 1);
}

TEST(Completion, KnowsEveryVerbInEveryShell) {
  Parser parser;
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = CompletionScript(parser.app, shell);
    for (const Verb& verb : AllVerbs()) {
      EXPECT_THAT(script, HasSubstr(std::string(verb.name))) << shell;
    }
    EXPECT_THAT(script, HasSubstr("memory")) << shell;
  }
  EXPECT_EQ(CompletionScript(parser.app, "csh"), "");
}

TEST(Printing, LetsNoControlCharacterReachTheTerminal) {
  EXPECT_EQ(Safe("a\x1b[31mb\nc\x7f"), "a?[31mb?c?");
  EXPECT_EQ(Safe("\xC2\x9B"
                 "31m"),
            "?31m");
  EXPECT_EQ(Safe("桌面 é"), "桌面 é");
  const Json json{{"name", "x\x1b]0;title\x07"}, {"none", nullptr}, {"count", 3}};
  EXPECT_EQ(Text(json, "name"), "x?]0;title?");
  EXPECT_EQ(Text(json, "none"), "");
  EXPECT_EQ(Text(json, "count"), "3");
}

TEST(Printing, AlignsColumns) {
  Table table({"A", "B"});
  table.Add({"long", "x"});
  EXPECT_EQ(table.Lines("none"), "A     B\nlong  x\n");
  EXPECT_EQ(table.Lines("none", 5), "A    \nlong \n");
  EXPECT_EQ(Table({"A"}).Lines("none"), "none\n");
}

TEST(Failures, TellWhatTheServerSaidAndTheExitCode) {
  net::Response response;
  response.status = 422;
  response.body = R"({"code":"over_share_limit","title":"No","detail":"80 GiB fits no card.",
    "errors":[{"pointer":"/gpu/memory_bytes","code":"x","detail":"80 GiB fits no card."}],
    "alternatives":[{"gpu_model":"A10","memory_bytes":25769803776,"answer":"waits"}]})";
  const Failure failure = FailureOf(response);
  EXPECT_EQ(failure.exit_code, kRefused);
  EXPECT_EQ(failure.text, "80 GiB fits no card.\n  possible: 24 GiB on A10");
  response.status = 500;
  response.body = "oops";
  EXPECT_EQ(FailureOf(response).exit_code, kError);
  response.status = 404;
  EXPECT_EQ(FailureOf(response).exit_code, kNotFound);
}

TEST(Failures, EncodeWhatGoesIntoAPath) {
  EXPECT_EQ(Encoded("a/b ?é"), "a%2Fb%20%3F%C3%A9");
}

// What `sluice WORDS…` prints, and its exit code.
std::pair<int, std::string> Say(std::vector<std::string> words) {
  words.insert(words.begin(), "sluice");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  testing::internal::CaptureStdout();
  const int code = Main(static_cast<int>(words.size()), argv.data());
  return {code, testing::internal::GetCapturedStdout()};
}

class SimFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/sim.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    std::ofstream(folder_ + "/nodes") << "sn,cpu_milli,memory_mib,gpu,model\na,8000,1024,1,T4\n";
    std::ofstream(folder_ + "/pods") << "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n"
                                        "p,1000,1,1,600\n";
    std::ofstream(folder_ + "/arrival") << "pods 42 0 0\nnodes 42 0\n";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::vector<std::string> Replay(std::vector<std::string> more) {
    std::vector<std::string> words = {"sim",
                                      "replay",
                                      "--nodes",
                                      folder_ + "/nodes",
                                      "--pods",
                                      folder_ + "/pods",
                                      "--arrival",
                                      folder_ + "/arrival"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  std::string folder_;
};

TEST_F(SimFiles, AreReplayedIntoATableWithReasons) {
  const auto [code, text] = Say(Replay({"--explain", "p"}));
  EXPECT_EQ(code, kOk);
  EXPECT_THAT(text, HasSubstr("60%   60.00%"));
  EXPECT_THAT(text, HasSubstr("2 arrivals, 0 moves, 1 not placed: 1 share"));
  EXPECT_THAT(text, HasSubstr("p, arrival 1: on a, card 0\n"));
  EXPECT_THAT(text,
              HasSubstr("p, arrival 2: fits nowhere; 1 card: 1 too little memory (largest free "
                        "40%); would fit: 40%\n"));
}

TEST_F(SimFiles, AreReplayedIntoJson) {
  const auto [code, text] = Say(Replay({"--policy", "best_fit", "--load", "1", "--json"}));
  EXPECT_EQ(code, kOk);
  const Json json = Json::parse(text);
  EXPECT_EQ(json["policy"], "best_fit");
  EXPECT_EQ(json["allocation_pct"], (Json{{"60", 60.0}}));
}

// Both machines have a share on their card. The first one's CPU is taken, so that only moving its
// share to the second makes room for a whole card.
TEST_F(SimFiles, AreReplayedWithMoves) {
  std::ofstream(folder_ + "/nodes") << "sn,cpu_milli,memory_mib,gpu,model\n"
                                       "a,8000,1024,1,T4\nb,8000,1024,1,T4\n";
  std::ofstream(folder_ + "/pods") << "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n"
                                      "cpu,4000,1,0,0\np,4000,1,1,400\n"
                                      "q,1000,1,1,400\nwhole,1000,1,1,1000\n";
  std::ofstream(folder_ + "/arrival") << "pods 42 0 1 2 3\nnodes 42 0 1\n";
  EXPECT_THAT(Say(Replay({"--policy", "first_fit"})).second,
              HasSubstr("4 arrivals, 0 moves, 1 not placed"));
  EXPECT_THAT(Say(Replay({"--policy", "first_fit", "--moves", "10000"})).second,
              HasSubstr("4 arrivals, 1 moves, 0 not placed"));
}

TEST_F(SimFiles, AreRefusedWithTheReason) {
  EXPECT_EQ(Say(Replay({"--seed", "7"})).first, kNotFound);
  EXPECT_EQ(Say(Replay({"--explain", "nobody"})).first, kNotFound);
  EXPECT_EQ(Say(Replay({"--policy", "guess"})).first, kError);
  EXPECT_EQ(Say({"sim", "compare", "--seeds", "5..2", "--data", folder_}).first, kUsage);
}

}  // namespace
}  // namespace sluice::cli
