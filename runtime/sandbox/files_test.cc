// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/files.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/sandbox/process.h"
#include "runtime/sandbox/seccomp.h"
#include "runtime/sandbox/temp_folder.h"

namespace sluice::runtime {
namespace {

namespace fs = std::filesystem;

TEST(Files, ReplaceAWholeFileWithItsMode) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFileAtomic(folder / "a", "one", 0600));
  ASSERT_TRUE(WriteFileAtomic(folder / "a", "two", 0644));
  EXPECT_EQ(*ReadFile(folder / "a"), "two");
  struct stat status {};
  ASSERT_EQ(::stat((folder / "a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0644U);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / ""), fs::directory_iterator()), 1);
}

TEST(Files, AnswerWithTheCodeOfWhatWentWrong) {
  const TempFolder folder;
  EXPECT_EQ(ReadFile(folder / "absent").error().code, Code::kNotFound);
  std::ofstream(folder / "large") << std::string(100, 'x');
  EXPECT_EQ(ReadFile(folder / "large", 99).error().code, Code::kOutOfRange);
  EXPECT_EQ(WriteFileAtomic(folder / "absent/file", "x", 0600).error().code, Code::kNotFound);
  EXPECT_EQ(MakeFolder(folder / "large/sub", 0700).error().code, Code::kFailedPrecondition);
  EXPECT_EQ(ErrnoError(ENOSPC, "write").code, Code::kResourceExhausted);
  EXPECT_EQ(ErrnoError(EROFS, "write").code, Code::kPermissionDenied);
  EXPECT_EQ(ErrnoError(EIO, "write x").message, "cannot write x: Input/output error");
}

TEST(RemoveTree, RemovesClosedFoldersAndLeavesWhatLinksPointTo) {
  const TempFolder folder;
  fs::create_directories(folder / "tree/closed/inner");
  fs::create_directories(folder / "outside");
  std::ofstream(folder / "outside/file") << "mine";
  std::ofstream(folder / "tree/closed/inner/file") << "x";
  fs::create_directory_symlink(folder / "outside", folder / "tree/link");
  fs::create_directory_symlink(folder / "outside", folder / "tree/closed/link");
  std::ofstream(folder / "tree/.removing-0") << "a tenant's own";
  ASSERT_EQ(::chmod((folder / "tree/closed").c_str(), 0), 0);
  ASSERT_TRUE(RemoveTree(folder / "tree"));
  EXPECT_FALSE(fs::exists(folder / "tree"));
  EXPECT_TRUE(fs::exists(folder / "outside/file"));
}

TEST(RemoveTree, RemovesALinkAndNotWhatItPointsTo) {
  const TempFolder folder;
  fs::create_directories(folder / "outside/sub");
  fs::create_directory_symlink(folder / "outside", folder / "link");
  ASSERT_TRUE(RemoveTree(folder / "link"));
  EXPECT_TRUE(fs::exists(folder / "outside/sub"));
  EXPECT_FALSE(fs::is_symlink(folder / "link"));
  EXPECT_TRUE(RemoveTree(folder / "link"));
}

TEST(Programs, AreNamedWithTheirPackageWhenTheyAreMissing) {
  const auto missing = FindProgram("sluice-no-such-program");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kFailedPrecondition);
  EXPECT_NE(missing.error().message.find("apt-get install"), std::string::npos);
  EXPECT_EQ(*FindProgram("sh"), "/usr/bin/sh");
}

TEST(Programs, AnswerTheirStatusOrAreKilledInTime) {
  EXPECT_EQ(*RunProgram({"/bin/sh", "-c", "exit 3"}, Duration(20'000)), 3);
  EXPECT_EQ(*RunProgram({"/bin/sh", "-c", "kill -9 $$"}, Duration(20'000)), 137);
  EXPECT_EQ(RunProgram({"/bin/sleep", "1000"}, Duration(10)).error().code, Code::kDeadlineExceeded);
  const auto explained =
      RunProgramOrExplain({"/bin/sh", "-c", "echo because >&2; exit 1"}, Duration(20'000));
  EXPECT_EQ(explained.error().message, "because");
  EXPECT_FALSE(RunProgram({"/nonexistent"}, Duration(1000)));
}

TEST(SystemCallFilter, IsAProgramForTheKernel) {
  const auto program = SeccompProgram();
  ASSERT_TRUE(program) << ToString(program.error());
  struct stat status {};
  ASSERT_EQ(::fstat(program->get(), &status), 0);
  EXPECT_GT(status.st_size, 0);
  EXPECT_EQ(status.st_size % 8, 0);  // sizeof(sock_filter)
  EXPECT_EQ(::lseek(program->get(), 0, SEEK_CUR), 0);
}

}  // namespace
}  // namespace sluice::runtime
