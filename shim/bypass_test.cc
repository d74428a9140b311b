// SPDX-License-Identifier: Apache-2.0
// Every way to a card's memory that is known, asked for more than the share is. What was granted is
// read from the simulated card itself, without the interposer.
#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "shim/share_box.h"

namespace sluice::shim {
namespace {

const std::string kBuild = SLUICE_BUILD_DIR;
const std::string kProbe = kBuild + "/tests/shim_probe";
constexpr uint64_t kMib = 1 << 20;
constexpr uint64_t kGib = uint64_t{1} << 30;

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  return lines;
}

// Bytes of the first card in use, as the driver outside the share says.
uint64_t ReallyUsed(const ShareBox& box) {
  const std::string command = "SLUICE_SIMGPU_STATE='" + box.state_folder() + "' LD_LIBRARY_PATH='" +
                              kBuild + "/lib/simgpu' '" + kProbe + "' dlsym nvml";
  FILE* const out = popen(command.c_str(), "r");
  int code = -1;
  unsigned long long total = 0;
  unsigned long long free = 0;
  unsigned long long used = UINT64_MAX;
  EXPECT_EQ(fscanf(out, "%d %llu %llu %llu", &code, &total, &free, &used), 4);
  char rest[512];
  while (fread(rest, 1, sizeof(rest), out) > 0) {
  }
  EXPECT_EQ(pclose(out), 0);
  EXPECT_EQ(code, 0);
  return used;
}

// Symbols of the class `memory` that take none of their own: they hold on to a handle's, which was
// charged when it was created.
bool OnlyHolds(const std::string& symbol) {
  static const std::set<std::string> kHolding = {"cuLogicalEndpointBindMem",
                                                 "cuMemMap",
                                                 "cuMemMapArrayAsync",
                                                 "cuMemMapArrayAsync_ptsz",
                                                 "cuMemRetainAllocationHandle",
                                                 "cuMulticastBindMem",
                                                 "cuMulticastBindMem_v2"};
  return kHolding.contains(symbol);
}

TEST(EveryMemorySymbol, IsARouteOfThisSuite) {
  ShareBox box;
  const auto routes = Lines(box.Run({kProbe, "dlsym", "routes"}).output);
  const std::set<std::string> known(routes.begin(), routes.end());
  std::ifstream table(SLUICE_SOURCE_DIR "/shim/calls.tsv");
  int count = 0;
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string symbol;
    std::string kind;
    if (words >> symbol >> kind && symbol[0] != '#' && kind == "memory") {
      ++count;
      EXPECT_TRUE(known.contains(symbol) || OnlyHolds(symbol)) << symbol;
    }
  }
  EXPECT_GT(count, 30);
}

TEST(EveryRoute, GivesOutNoMoreThanTheShare) {
  ShareBox listing;
  for (const std::string& route : Lines(listing.Run({kProbe, "dlsym", "routes"}).output)) {
    ShareBox box;
    auto program = box.Start({kProbe, "dlsym", "pile", route, std::to_string(64 * kMib)});
    const std::string code = ShareBox::ReadLine(program.from);
    // A call that this driver does not have gives out nothing, either. Graphs that are uploaded and
    // never launched share their memory.
    const bool uploads = route.starts_with("cuGraphUpload");
    EXPECT_TRUE(code == "2" || code == box.Missing() || (uploads && code == "0"))
        << route << ": " << code;
    const uint64_t used = ReallyUsed(box);
    EXPECT_LE(used, kGib) << route;
    if (code == "2") {
      EXPECT_GE(used, kGib - 128 * kMib) << route;  // Nor much less than there is.
    }
    EXPECT_EQ(box.Finish(program), 0);
    EXPECT_EQ(ReallyUsed(box), 0U) << route;
  }
}

// In front of a driver that knows the newest calls: what still holds a handle's memory after its
// release keeps it charged, until it lets go.
TEST(AHandleThatIsHeld, StaysChargedAfterItsRelease) {
  ShareBox box({.driver_folder = kBuild + "/tests/tiny_driver"});
  const auto lines = Lines(box.Run({kBuild + "/tests/shim_holds_probe", "holds"}).output);
  EXPECT_EQ(lines.size(), 6U);
  for (const std::string& line : lines) {
    EXPECT_TRUE(line.ends_with(" 512 2 0")) << line;
  }
  EXPECT_EQ(region::Total(box.ledger(), 0), 0U);
}

TEST(WhatAnotherProcessAllocated, IsNotChargedTwice) {
  ShareBox box({.driver_folder = kBuild + "/tests/tiny_driver"});
  EXPECT_EQ(box.Run({kBuild + "/tests/shim_holds_probe", "imports"}).output, "0 0 0 0 0 0 0 0 0\n");
}

}  // namespace
}  // namespace sluice::shim
