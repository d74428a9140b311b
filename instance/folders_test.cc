// SPDX-License-Identifier: Apache-2.0
#include "instance/folders.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "instance/layout.h"

namespace sluice::instance {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Folders : public ::testing::Test {
 protected:
  Folders() {
    std::string name = ::testing::TempDir() + "sluice-folders-XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~Folders() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  std::string folder_;
};

TEST_F(Folders, AreMadeForTheirOwnerAlone) {
  const auto made = PrepareStateFolder(folder_ + "/a/../b/state/");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(*made, folder_ + "/b/state");
  struct stat info {};
  ASSERT_EQ(stat(made->c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_EQ(PrepareStateFolder(*made).value_or(""), *made);
}

TEST_F(Folders, ThatCannotBeSayWhatToDo) {
  const auto too_long = PrepareStateFolder(folder_ + "/" + std::string(120, 'x'));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, Code::kInvalidArgument);
  std::ofstream(folder_ + "/file") << "x";
  const auto no_folder = PrepareStateFolder(folder_ + "/file/state");
  ASSERT_FALSE(no_folder);
  EXPECT_EQ(no_folder.error().code, Code::kPermissionDenied);
  EXPECT_THAT(no_folder.error().message, HasSubstr("--state DIR"));
}

TEST_F(Folders, BelongToOneInstanceAtATime) {
  {
    const auto first = FolderLock::Take(folder_);
    ASSERT_TRUE(first);
    first->Tell("http://127.0.0.1:8480");
    const auto second = FolderLock::Take(folder_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::kAlreadyExists);
    EXPECT_THAT(second.error().message, HasSubstr("process " + std::to_string(getpid())));
    EXPECT_THAT(second.error().message, HasSubstr("http://127.0.0.1:8480"));
  }
  EXPECT_TRUE(FolderLock::Take(folder_));
}

TEST_F(Folders, HaveAVolatileOneOfTheirOwn) {
  EXPECT_NE(VolatileFolderOf("/a"), VolatileFolderOf("/b"));
  EXPECT_EQ(VolatileFolderOf("/a"), VolatileFolderOf("/a"));
  const auto made = PrepareVolatileFolder(folder_);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(*made, VolatileFolderOf(folder_));
  fs::remove(*made);
  // Somebody else's link or file in its place is not followed.
  fs::create_symlink("/tmp", *made);
  const auto taken = PrepareVolatileFolder(folder_);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::kPermissionDenied);
  fs::remove(*made);
}

TEST_F(Folders, LoseTheVolatileOneWhenNothingIsInIt) {
  const std::string volatile_folder = folder_ + "/volatile";
  for (const std::string& used :
       {SharesIn(volatile_folder), DesktopsIn(volatile_folder) + "/desktops"}) {
    fs::create_directories(used + "/one");
    RemoveVolatileFolderIfUnused(volatile_folder);
    EXPECT_TRUE(fs::exists(used + "/one"));
    fs::remove(used + "/one");
  }
  fs::create_directories(volatile_folder + "/simgpu/ipc");
  RemoveVolatileFolderIfUnused(volatile_folder);
  EXPECT_FALSE(fs::exists(volatile_folder));
  RemoveVolatileFolderIfUnused(volatile_folder);
}

TEST_F(Folders, KeepNotes) {
  const std::string path = folder_ + "/note";
  EXPECT_EQ(ReadNote(path), std::nullopt);
  ASSERT_TRUE(WriteNote(path, "one"));
  ASSERT_TRUE(WriteNote(path, "two"));
  EXPECT_EQ(ReadNote(path), "two");
  EXPECT_EQ(WriteNote(folder_ + "/none/note", "x").error().code, Code::kUnavailable);
}

TEST_F(Folders, OfAnIncompleteBuildAreToldWithTheCommand) {
  const auto layout = LayoutOf(folder_ + "/bin/sluice");
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().code, Code::kNotFound);
  EXPECT_THAT(layout.error().message, HasSubstr("./dev build"));
  for (const char* part : {"bin/sluice-supervise",
                           "lib/libsluice-cuda.so",
                           "lib/simgpu/libcuda.so.1",
                           "lib/simgpu/libnvidia-ml.so.1",
                           "web/index.html"}) {
    fs::create_directories(fs::path(folder_ + "/" + part).parent_path());
    std::ofstream(folder_ + "/" + part) << "x";
  }
  const auto whole = LayoutOf(folder_ + "/bin/sluice");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->web, folder_ + "/web");
}

}  // namespace
}  // namespace sluice::instance
