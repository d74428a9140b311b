// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/front.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>

namespace sluice::agent {
namespace {

class Fronts : public ::testing::Test {
 protected:
  Fronts() : top_(::testing::TempDir() + "fronts-XXXXXX") {
    EXPECT_NE(mkdtemp(top_.data()), nullptr);
    std::filesystem::create_directories(top_ + "/fronts");
    std::filesystem::create_directories(top_ + "/driver");
    for (const char* name : {"libcuda.so.1", "libnvidia-ml.so.1"}) Touch("fronts", name);
  }
  ~Fronts() override { std::filesystem::remove_all(top_); }

  void Touch(const std::string& folder, const std::string& name) const {
    std::ofstream(top_ + "/" + folder + "/" + name) << "x";
  }
  // As the agent prepares it: the driver's folder, seen at `inside`.
  PreparedShare Share(const std::string& inside) const {
    PreparedShare share;
    share.mounts = {{top_ + "/driver", inside, false}};
    share.library_dirs = {inside};
    return share;
  }
  static std::string SourceAt(const PreparedShare& share, const std::string& target) {
    auto at = std::find_if(share.mounts.rbegin(), share.mounts.rend(), [&](const Mount& mount) {
      return mount.target == target;
    });
    return at == share.mounts.rend() ? "" : at->source;
  }

  std::string top_;
};

TEST_F(Fronts, StandWhereTheNamesLead) {
  Touch("driver", "libcuda.so.580.1");
  std::filesystem::create_symlink("libcuda.so.580.1", top_ + "/driver/libcuda.so.1");
  Touch("driver", "libnvidia-ml.so.1");
  PreparedShare share = Share("/usr/lib/driver");
  ASSERT_TRUE(PutFronts(top_ + "/fronts", share));
  EXPECT_EQ(SourceAt(share, "/usr/lib/driver/libcuda.so.580.1"), top_ + "/fronts/libcuda.so.1");
  EXPECT_EQ(SourceAt(share, "/run/sluice/driver/libcuda.so.1"), top_ + "/driver/libcuda.so.580.1");
  EXPECT_EQ(SourceAt(share, "/usr/lib/driver/libnvidia-ml.so.1"),
            top_ + "/fronts/libnvidia-ml.so.1");
  EXPECT_EQ(SourceAt(share, "/run/sluice/driver/libnvidia-ml.so.1"),
            top_ + "/driver/libnvidia-ml.so.1");
}

TEST_F(Fronts, AreMountedOverTheFolderThatTheyAreIn) {
  Touch("driver", "libcuda.so.1");
  PreparedShare share = Share("/run/sluice/simgpu/lib");
  ASSERT_TRUE(PutFronts(top_ + "/fronts", share));
  EXPECT_EQ(share.mounts.front().target, "/run/sluice/simgpu/lib");
  EXPECT_EQ(share.mounts.size(), 3u);  // And none for the library that is not there.
}

TEST_F(Fronts, AreSaidToBeMissing) {
  std::filesystem::remove(top_ + "/fronts/libcuda.so.1");
  PreparedShare share = Share("/lib");
  auto put = PutFronts(top_ + "/fronts", share);
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, Code::kUnavailable);
  EXPECT_NE(put.error().message.find("libcuda.so.1"), std::string::npos);
}

}  // namespace
}  // namespace sluice::agent
