// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/limits.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/sandbox/files.h"
#include "runtime/sandbox/temp_folder.h"

namespace sluice::runtime {
namespace {

// Folders of plain files that look like the kernel's. It makes a group's files when the group is
// made; here they are made first.
class FixtureTree {
 public:
  std::string Version2(const std::vector<std::string>& controllers) {
    const std::string folder = folder_ / "unified";
    Touch(folder + "/cgroup.controllers");
    Touch(folder + "/cgroup.subtree_control");
    Touch(folder + "/dsk_1/cgroup.procs");
    for (const std::string& file : controllers) Touch(folder + "/dsk_1/" + file);
    return folder;
  }
  std::string Version1(const std::string& controller, const std::vector<std::string>& files) {
    const std::string folder = folder_ / controller;
    Touch(folder + "/cgroup.procs");
    Touch(folder + "/dsk_1/cgroup.procs");
    for (const std::string& file : files) Touch(folder + "/dsk_1/" + file);
    return folder;
  }
  std::string operator/(const std::string& name) const { return folder_ / name; }

 private:
  static void Touch(const std::string& path) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream file(path);
  }

  TempFolder folder_;
};

constexpr MachineLimits kLimits = {.cpu_percent_max = 150, .memory_max = MiB(512)};

TEST(ControlGroup, WritesTheLimitsOfVersion2) {
  FixtureTree tree;
  const std::string folder = tree.Version2({"memory.max", "cpu.max", "pids.max"});
  const auto group = ControlGroup::Create({folder}, "dsk_1", kLimits);
  ASSERT_TRUE(group) << ToString(group.error());
  EXPECT_EQ(group->Kind(), "cgroup v2");
  EXPECT_EQ(*ReadFile(folder + "/dsk_1/memory.max"), "536870912");
  EXPECT_EQ(*ReadFile(folder + "/dsk_1/cpu.max"), "150000 100000");
  EXPECT_EQ(*ReadFile(folder + "/dsk_1/pids.max"), "4096");
  ASSERT_TRUE(group->Add(4711));
  EXPECT_EQ(*ReadFile(folder + "/dsk_1/cgroup.procs"), "4711");
  std::ofstream(folder + "/dsk_1/memory.current") << "1048576\n";
  EXPECT_EQ(group->MemoryUsed(), MiB(1));
}

TEST(ControlGroup, WritesTheLimitsOfVersion1InTheFolderOfEachController) {
  FixtureTree tree;
  const std::string memory = tree.Version1("memory", {"memory.limit_in_bytes"});
  const std::string cpu = tree.Version1("cpu", {"cpu.cfs_period_us", "cpu.cfs_quota_us"});
  const auto group = ControlGroup::Create({memory, cpu}, "dsk_1", kLimits);
  ASSERT_TRUE(group) << ToString(group.error());
  EXPECT_EQ(group->Kind(), "cgroup v1");
  EXPECT_EQ(*ReadFile(memory + "/dsk_1/memory.limit_in_bytes"), "536870912");
  EXPECT_EQ(*ReadFile(cpu + "/dsk_1/cpu.cfs_period_us"), "100000");
  EXPECT_EQ(*ReadFile(cpu + "/dsk_1/cpu.cfs_quota_us"), "150000");
  ASSERT_TRUE(group->Add(4711));
  EXPECT_EQ(*ReadFile(memory + "/dsk_1/cgroup.procs"), "4711");
  EXPECT_EQ(*ReadFile(cpu + "/dsk_1/cgroup.procs"), "4711");
  std::ofstream(memory + "/dsk_1/memory.usage_in_bytes") << "2097152\n";
  EXPECT_EQ(group->MemoryUsed(), MiB(2));
}

TEST(ControlGroup, WritesNoLimitThatWasNotAsked) {
  FixtureTree tree;
  const std::string folder = tree.Version2({"memory.max", "cpu.max"});
  ASSERT_TRUE(ControlGroup::Create({folder}, "dsk_1", {}));
  EXPECT_EQ(*ReadFile(folder + "/dsk_1/memory.max"), "");
  EXPECT_EQ(*ReadFile(folder + "/dsk_1/cpu.max"), "");
}

TEST(ControlGroup, RefusesALimitForWhichItWasHandedNoController) {
  FixtureTree tree;
  const std::string cpu = tree.Version1("cpu", {"cpu.cfs_period_us", "cpu.cfs_quota_us"});
  EXPECT_EQ(ControlGroup::Create({cpu}, "dsk_1", kLimits).error().code, Code::kPermissionDenied);
  const std::string v2 = tree.Version2({"memory.max"});
  const auto no_cpu = ControlGroup::Create({v2}, "dsk_1", kLimits);
  EXPECT_EQ(no_cpu.error().code, Code::kPermissionDenied);
  EXPECT_NE(no_cpu.error().message.find("processor"), std::string::npos);
}

TEST(ControlGroup, RefusesAFolderThatIsNone) {
  const TempFolder folder;
  EXPECT_EQ(ControlGroup::Create({folder / ""}, "dsk_1", kLimits).error().code,
            Code::kFailedPrecondition);
}

TEST(ControlGroup, IsEmptyWithoutFolders) {
  const auto group = ControlGroup::Create({}, "dsk_1", kLimits);
  ASSERT_TRUE(group);
  EXPECT_EQ(group->Kind(), "");
  EXPECT_TRUE(group->Add(4711));
  EXPECT_EQ(group->MemoryUsed(), Bytes(0));
}

TEST(Rlimits, LimitDataAndCoresOfWhatIsStartedNext) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!ApplyRlimits(kLimits, false)) ::_exit(1);
    struct rlimit data {};
    struct rlimit core {};
    ::getrlimit(RLIMIT_DATA, &data);
    ::getrlimit(RLIMIT_CORE, &core);
    ::_exit(data.rlim_max == 512U << 20 && core.rlim_max == 0 ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace sluice::runtime
