// SPDX-License-Identifier: Apache-2.0
// The vendor's run-time libraries, unchanged, as a test of look-up: what they ask the driver for is
// answered through the interposer as it is without, call for call and in the same order. Nothing
// here goes further than the look-ups: what a run-time does next is a check of its driver.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

#include "shim/share_box.h"

namespace sluice {
namespace {

const std::string kHere = SLUICE_CLIENTS_FOLDER;
const std::string kBuild = SLUICE_BUILD_DIR;

std::vector<std::string> Environment(const std::string& record) {
  std::vector<std::string> environment = {"SLUICE_RECORD=" + record};
  for (const char* name : {"PATH", "HOME", "XDG_CACHE_HOME"}) {
    if (const char* value = std::getenv(name); value != nullptr) {
      environment.push_back(std::string(name) + "=" + value);
    }
  }
  return environment;
}

std::string ReadText(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// What a run-time library asks for, in front of a driver that writes it down.
std::string Requests(const std::string& runtime, bool shared) {
  shim::ShareBox box({.shared = shared, .driver_folder = kBuild + "/tests/recorder"});
  const std::string record = box.folder() + "/requests";
  const auto outcome =
      box.Run({kHere + "/run", kHere + "/cudart.py", runtime}, Environment(record));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  return ReadText(record);
}

std::string Answers(const std::string& requests, const char* form, bool shared) {
  shim::ShareBox box({.shared = shared});
  const std::string list = box.folder() + "/list";
  std::ofstream(list) << requests;
  const auto outcome =
      box.Run({"/bin/sh", "-c", kBuild + "/tests/lookup_replay " + form + " <'" + list + "'"});
  EXPECT_EQ(outcome.status, 0);
  return outcome.output;
}

class LookUp : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string prepare = "'" + kHere + "/run' '" + kHere + "/cudart.py' --prepare";
    ASSERT_EQ(std::system(prepare.c_str()), 0);
  }
};

TEST_P(LookUp, IsAnsweredAsTheDriverAnswersIt) {
  const std::string bare = Requests(GetParam(), false);
  const auto count = std::count(bare.begin(), bare.end(), '\n');
  EXPECT_GT(count, 300);
  EXPECT_EQ(Requests(GetParam(), true), bare);
  for (const char* form : {"v1", "v2"}) {
    const std::string driver = Answers(bare, form, false);
    EXPECT_EQ(std::count(driver.begin(), driver.end(), '\n'), count);
    EXPECT_NE(driver.find(" cuMemAlloc_v2\n"), std::string::npos);
    EXPECT_EQ(Answers(bare, form, true), driver) << form;
  }
  // And that is so although the interposer answers some of them itself, in both stream modes.
  EXPECT_EQ(Answers(bare, "v2 elsewhere", false), "");
  const std::string ours = "\n" + Answers(bare, "v2 elsewhere", true);
  for (const char* symbol : {"cuMemAlloc_v2", "cuMemGetInfo_v2", "cuLaunchKernel_ptsz"}) {
    EXPECT_NE(ours.find("\n" + std::string(symbol) + "\n"), std::string::npos) << symbol;
  }
  EXPECT_EQ(ours.find("\ncuDeviceGetName\n"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(OfRuntime, LookUp, testing::Values("cuda11", "cuda12", "cuda13"));

}  // namespace
}  // namespace sluice
