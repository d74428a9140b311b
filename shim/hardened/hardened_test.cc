// SPDX-License-Identifier: Apache-2.0
// The hardened mode by itself: programs that never meet the preloaded interposer, because their
// loader reads another file or because the driver is in a name space of its own.
#include <string>
#include <vector>

#include "shim/share_box.h"

namespace sluice::shim {
namespace {

const std::string kTests = std::string(SLUICE_BUILD_DIR) + "/tests";
const std::string kWays = kTests + "/shim_injection_probe";
const std::string kProbe = kTests + "/shim_probe";
const std::string kTen = std::to_string(uint64_t{10} << 30);
const std::string kLittle = std::to_string(10 << 20);

TEST(WithoutThePreload, EveryWayToTheDriverIsLimited) {
  ShareBox box({.preload = false, .hardened = true});
  for (const char* way : {"plain", "absolute", "deepbind", "forked", "namespace"}) {
    EXPECT_EQ(box.Run({kWays, way, kTen}).output, "2\n") << way;
    EXPECT_EQ(box.Run({kWays, way, kLittle}).output, "0\n") << way;
  }
  EXPECT_EQ(box.Run({kTests + "/shim_linked_probe", kTen}).output, "2\n");
}

TEST(WithoutThePreload, EveryRouteIsLimited) {
  ShareBox box({.preload = false, .hardened = true});
  for (const char* look_up : {"dlsym", "proc"}) {
    std::string routes = box.Run({kProbe, look_up, "routes"}).output;
    int refused = 0;
    for (size_t at = 0; at < routes.size();) {
      const size_t end = routes.find('\n', at);
      const std::string route = routes.substr(at, end - at);
      at = end + 1;
      const std::string answer = box.Run({kProbe, look_up, "route", route, kTen}).output;
      refused += answer == "2\n" ? 1 : 0;
      EXPECT_NE(answer, "0\n") << look_up << " " << route;
    }
    EXPECT_GT(refused, 20) << look_up;
  }
}

TEST(WithoutThePreload, TheShareIsTheCard) {
  ShareBox box({.preload = false, .hardened = true});
  const std::string gib = std::to_string(uint64_t{1} << 30);
  EXPECT_EQ(box.Run({kProbe, "dlsym", "info"}).output, "0 " + gib + " " + gib + " 0 " + gib + "\n");
  const std::string nvml = box.Run({kProbe, "dlsym", "nvml"}).output;
  EXPECT_EQ(nvml.substr(0, nvml.find('\n')), "0 " + gib + " " + gib + " 0") << nvml;
}

// What the mode is for: the same program in a share without it has the whole card.
TEST(WithoutThePreload, OnlyTheFrontLimits) {
  ShareBox box({.preload = false});
  EXPECT_EQ(box.Run({kWays, "plain", kTen}).output, "0\n");
}

TEST(WithThePreload, NothingIsChargedTwice) {
  for (const char* look_up : {"dlsym", "proc"}) {
    ShareBox box({.hardened = true});
    auto program = box.Start({kProbe, look_up, "hold", kLittle});
    EXPECT_EQ(ShareBox::ReadLine(program.from), "0") << look_up;
    EXPECT_EQ(region::Total(box.ledger(), 0), uint64_t{10} << 20) << look_up;
    EXPECT_EQ(box.Finish(program), 0);
  }
}

// The preloaded interposer and the one of a name space of its own each count what goes by them.
TEST(WithThePreload, ASecondCopyOfTheDriverIsServedAndLimited) {
  ShareBox box({.hardened = true});
  EXPECT_EQ(box.Run({kWays, "namespace", kTen}).output, "2\n");
  EXPECT_EQ(box.Run({kWays, "namespace", kLittle}).output, "0\n");
}

}  // namespace
}  // namespace sluice::shim
