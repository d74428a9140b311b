// SPDX-License-Identifier: Apache-2.0
// The interposer in front of older drivers, which lack what came later: every way to memory that
// they have is limited, and what they do not have is not there.
#include <gtest/gtest.h>
#include <set>
#include <sstream>
#include <string>

#include "shim/share_box.h"

namespace sluice {
namespace {

const std::string kProbe = std::string(SLUICE_BUILD_DIR) + "/tests/shim_probe";
const std::string kGib = std::to_string(uint64_t{1} << 30);
const std::string kTen = std::to_string(uint64_t{10} << 30);

class Branch : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    auto scene = simgpu::ReadScene(box_.state_folder());
    ASSERT_TRUE(scene);
    scene->driver_version = std::to_string(GetParam()) + ".1-simulated";
    scene->cuda_version = simgpu::CudaVersionOf(scene->driver_version);
    ASSERT_TRUE(simgpu::WriteScene(box_.state_folder(), *scene));
  }

  shim::ShareBox box_;
};

TEST_P(Branch, IsLimitedOnEveryRoute) {
  std::istringstream routes(box_.Run({kProbe, "dlsym", "routes"}).output);
  std::set<std::string> refused;
  for (std::string route; std::getline(routes, route);) {
    const std::string answer = box_.Run({kProbe, "dlsym", "route", route, kTen}).output;
    EXPECT_TRUE(answer == "2\n" || answer == "500\n") << route << ": " << answer;
    if (answer == "2\n") refused.insert(route);
  }
  EXPECT_TRUE(refused.contains("cuMemAlloc_v2"));
  EXPECT_TRUE(refused.contains("cuMemAllocAsync"));
  // Of 12.2: with 535 and not before.
  EXPECT_EQ(refused.contains("cuGraphAddNode"), GetParam() >= 535);
}

TEST_P(Branch, ShowsTheShareAsItsCard) {
  EXPECT_EQ(box_.Run({kProbe, "dlsym", "info"}).output,
            "0 " + kGib + " " + kGib + " 0 " + kGib + "\n");
  if (GetParam() < 510) return;  // The probe asks for the second form, which came with it.
  const std::string nvml = box_.Run({kProbe, "dlsym", "nvml"}).output;
  EXPECT_EQ(nvml.substr(0, nvml.find('\n')), "0 " + kGib + " " + kGib + " 0") << nvml;
}

INSTANTIATE_TEST_SUITE_P(OfTheDriver, Branch, testing::Values(470, 525, 535, 570, 610));

}  // namespace
}  // namespace sluice
