// SPDX-License-Identifier: Apache-2.0
// How programs come to the driver, and programs that do not: the interposer is met on the first,
// and does the second no harm.
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "shim/share_box.h"

namespace sluice::shim {
namespace {

const std::string kTests = std::string(SLUICE_BUILD_DIR) + "/tests";
const std::string kProbe = kTests + "/shim_injection_probe";
const std::string kTen = std::to_string(uint64_t{10} << 30);
const std::string kLittle = std::to_string(10 << 20);

TEST(EveryWayToTheDriver, ArrivesAtTheLimit) {
  ShareBox box;
  for (const char* way : {"plain", "absolute", "deepbind", "forked"}) {
    EXPECT_EQ(box.Run({kProbe, way, kTen}).output, "2\n") << way;
    EXPECT_EQ(box.Run({kProbe, way, kLittle}).output, "0\n") << way;
  }
  EXPECT_EQ(region::Total(box.ledger(), 0) % (10 << 20), 0U);
}

// A second copy of the driver is not served: its own calls and the answered ones meet two copies.
// Nothing is granted by it.
TEST(ASecondCopyOfTheDriver, GrantsNothing) {
  ShareBox box;
  const std::string answer = box.Run({kProbe, "namespace", kTen}).output;
  EXPECT_NE(answer, "0\n");
  EXPECT_FALSE(answer.empty());
}

TEST(Vfork, LeavesTheParentItsPlace) {
  ShareBox box;
  auto program = box.Start({kProbe, "vfork", kLittle});
  EXPECT_EQ(ShareBox::ReadLine(program.from), "0 0 0");
  EXPECT_EQ(region::Total(box.ledger(), 0), uint64_t{20} << 20);
  const int slot = region::NextTaken(box.ledger(), 0);
  ASSERT_GE(slot, 0);
  EXPECT_TRUE(region::IsAlive(box.ledger_file(), slot));
  EXPECT_EQ(box.Finish(program), 0);
}

// The loader takes nothing from the environment of such a program; the file in /etc holds for it.
TEST(ASetuidProgram, IsLimitedToo) {
  ShareBox box;
  const std::string copy = box.folder() + "/setuid_probe";
  std::filesystem::copy_file(kProbe, copy);
  ASSERT_EQ(chmod(box.folder().c_str(), 0755), 0);
  ASSERT_EQ(chmod(copy.c_str(), 04755), 0);
  std::vector<std::string> words = {copy, "plain", kTen};
  if (geteuid() == 0) {
    const std::vector<std::string> nobody = {
        "/usr/bin/setpriv", "--reuid", "65534", "--clear-groups", "--"};
    words.insert(words.begin(), nobody.begin(), nobody.end());
  }
  EXPECT_EQ(box.Run(words, {"LD_PRELOAD=/nowhere.so"}).output, "2\n");
}

TEST(AProgramOfAnotherKind, RunsAsItDoes) {
  ShareBox box;
  for (const char* kind : {"static", "musl", "musl_static"}) {
    const auto outcome = box.Run({kTests + "/shim_hello_" + kind});
    EXPECT_EQ(outcome.output, "hello\n") << kind;
    EXPECT_EQ(outcome.status, 0) << kind;
  }
}

}  // namespace
}  // namespace sluice::shim
