// SPDX-License-Identifier: Apache-2.0
#include "model/template.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

namespace sluice {
namespace {

TEST(BuiltInTemplates, AreCompileReplayAndPytorch) {
  std::vector<std::string> ids;
  for (const Template& value : BuiltInTemplates()) ids.push_back(value.id.text());
  EXPECT_EQ(ids, (std::vector<std::string>{"compile", "replay", "pytorch"}));
}

TEST(BuiltInTemplates, AreCompleteAndNameHowToInstallWhatTheyNeed) {
  for (const Template& value : BuiltInTemplates()) {
    EXPECT_FALSE(value.name.empty());
    EXPECT_FALSE(value.summary.empty());
    EXPECT_GT(value.default_memory, Bytes(0));
    EXPECT_FALSE(value.needs.empty());
    for (const HostProgram& program : value.needs) {
      EXPECT_FALSE(program.name.empty());
      EXPECT_EQ(program.install.rfind("apt-get install ", 0), 0u) << program.name;
    }
  }
}

TEST(BuiltInTemplates, GreetWithTheShareInWellQuotedCommands) {
  for (const Template& value : BuiltInTemplates()) {
    ASSERT_EQ(value.autostart.size(), 1u);
    const std::string& command = value.autostart.front();
    EXPECT_NE(command.find("sluice gpu"), std::string::npos);
    EXPECT_EQ(std::ranges::count(command, '\'') % 2, 0) << command;
    EXPECT_EQ(std::ranges::count(command, '"') % 2, 0) << command;
    EXPECT_EQ(command.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace sluice
