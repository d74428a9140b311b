// SPDX-License-Identifier: Apache-2.0
#include "shim/bench/sides.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <unistd.h>

namespace sluice::shim::bench {

Peer PeerFromEnvironment() {
  const char* const library = getenv("SLUICE_PEER_HAMI_CORE");
  if (library == nullptr || *library == '\0') {
    return {};
  }
  if (access(library, R_OK) != 0) {
    fprintf(stderr, "bench_shim: SLUICE_PEER_HAMI_CORE: there is no %s\n", library);
    exit(1);
  }
  std::string commit = "of unknown commit";
  std::ifstream(std::string(library) + ".commit") >> commit;
  return {library, "HAMi-core " + commit};
}

Side::Side(Kind kind, Bytes limit, const std::string& driver_folder, const Peer& peer)
    : kind_(kind), limit_(limit) {
  ShareBox::Options options;
  options.limit = limit;
  options.driver_folder = driver_folder;
  options.shared = kind == Kind::kOurs;
  if (kind == Kind::kPeer) {
    options.peer_library = peer.library;
  }
  box_ = std::make_unique<ShareBox>(options);
}

std::vector<std::string> Side::Environment(bool capped) const {
  if (kind_ != Kind::kPeer) {
    return {};
  }
  // Its region's limits are those of the first process that opens it: a file for each cap.
  std::vector<std::string> variables = {
      "CUDA_REDIRECT=" + std::string(ShareBox::kPeerPath),
      "CUDA_DEVICE_MEMORY_LIMIT_0=" + std::to_string(limit_.value() >> 20) + "m",
      "CUDA_DEVICE_MEMORY_SHARED_CACHE=/run/sluice/simgpu/state/peer-" +
          std::string(capped ? "capped" : "open"),
      "LIBCUDA_LOG_LEVEL=0"};
  if (capped) {
    variables.emplace_back("CUDA_DEVICE_SM_LIMIT=50");
  }
  return variables;
}

void Print(const Line& line) {
  const std::string peer = line.peer.empty() ? "null" : "\"" + line.peer + "\"";
  printf(
      "{\"bench\":\"shim\",\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\",\"n\":%d,"
      "\"config\":\"%s\",\"peer\":%s}\n",
      line.name.c_str(),
      line.value,
      line.unit.c_str(),
      line.n,
      line.config.c_str(),
      peer.c_str());
  fflush(stdout);
}

}  // namespace sluice::shim::bench
