// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <poll.h>
#include <sstream>

#include "shim/bench/sides.h"

namespace sluice::shim::bench {
namespace {

const std::string kBuild = SLUICE_BUILD_DIR;
const std::string kProbe = kBuild + "/tests/shim_probe";
constexpr uint64_t kMib = 1 << 20;
constexpr uint64_t kLimitMib = 1024;
constexpr uint64_t kPieceMib = 256;  // The probe takes up to 40 of them: 10 GiB.
constexpr int kPatienceMs = 20'000;

// MiB of the first card in use, as its driver says outside the side.
uint64_t ReallyUsedMib(const ShareBox& box) {
  const std::string command = "SLUICE_SIMGPU_STATE='" + box.state_folder() + "' LD_LIBRARY_PATH='" +
                              kBuild + "/lib/simgpu' '" + kProbe + "' dlsym nvml";
  FILE* const out = popen(command.c_str(), "r");
  unsigned long long used = 0;
  const bool read = fscanf(out, "0 %*u %*u %llu", &used) == 1;
  char rest[512];
  while (fread(rest, 1, sizeof(rest), out) > 0) {
  }
  if (pclose(out) != 0 || !read) {
    fprintf(stderr, "bench_shim: the simulated card does not say what is used\n");
    exit(1);
  }
  return used / kMib;
}

struct Answer {
  bool absent = false;  // This driver has no such call.
  uint64_t granted_mib = 0;
  std::string said;
};

Answer Ask(Side::Kind kind, const Peer& peer, const std::string& route) {
  Side side(kind, MiB(kLimitMib), "", peer);
  ShareBox& box = side.box();
  auto program = box.Start({kProbe, "dlsym", "pile", route, std::to_string(kPieceMib * kMib)},
                           side.Environment(false));
  pollfd answer = {program.from, POLLIN, 0};
  if (poll(&answer, 1, kPatienceMs) != 1) {
    Answer hung = {false, ReallyUsedMib(box), "no answer in 20 s"};
    box.Kill(program);
    return hung;
  }
  const std::string code = ShareBox::ReadLine(program.from);
  Answer result = {code == "500", ReallyUsedMib(box), "the last call answered " + code};
  const int status = box.Finish(program);
  if (code.empty()) {
    result.said = "the program ended with " + std::to_string(status);
  }
  return result;
}

std::vector<std::string> Routes() {
  Side native(Side::Kind::kNative, MiB(kLimitMib), "");
  std::istringstream lines(native.box().Run({kProbe, "dlsym", "routes"}).output);
  std::vector<std::string> routes;
  for (std::string line; std::getline(lines, line);) {
    // What this driver has not, and what takes nothing without any limit, tells nothing of a side.
    const Answer bare = Ask(Side::Kind::kNative, {}, line);
    if (!bare.absent && bare.granted_mib > kLimitMib) {
      routes.push_back(line);
    }
  }
  return routes;
}

void Compare(Side::Kind kind, const Peer& peer, const std::vector<std::string>& routes) {
  uint64_t worst = 0;
  int beyond = 0;
  for (const std::string& route : routes) {
    const Answer answer = Ask(kind, peer, route);
    const uint64_t over = answer.granted_mib - std::min(answer.granted_mib, kLimitMib);
    worst = std::max(worst, over);
    beyond += over > 0 ? 1 : 0;
    Print({"beyond_limit_mib_" + route,
           static_cast<double>(over),
           "MiB",
           1,
           "10 GiB asked under 1 GiB, simulated card: " + answer.said,
           peer.name});
  }
  Print({"beyond_limit_worst_mib",
         static_cast<double>(worst),
         "MiB",
         static_cast<int>(routes.size()),
         std::to_string(beyond) + " of " + std::to_string(routes.size()) +
             " routes passed the limit, simulated card",
         peer.name});
}

}  // namespace

void CompareWaysRound(const Peer& peer) {
  const std::vector<std::string> routes = Routes();
  Compare(Side::Kind::kOurs, {}, routes);
  if (!peer.library.empty()) {
    Compare(Side::Kind::kPeer, peer, routes);
  }
}

}  // namespace sluice::shim::bench
