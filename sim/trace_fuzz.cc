// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/trace.h"

// Any bytes as a file of each kind: the readers refuse or read, and stay within their bounds. The
// file is one in memory, as gzip's reader wants a name.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  using namespace sluice::sim;
  const int file = memfd_create("trace", 0);
  if (file < 0 || write(file, bytes, count) != static_cast<ssize_t>(count)) {
    std::abort();
  }
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  if (const auto pods = ReadPods(path)) {
    for (const TracePod& pod : *pods) {
      if (pod.gpus < 0 || pod.gpu_milli < 0 || pod.gpu_milli > 1000 || pod.cpu_milli < 0) {
        std::abort();
      }
    }
  }
  if (const auto orders = ReadOrders(path, {100, 10})) {
    for (const ArrivalOrder& order : *orders) {
      for (const int32_t row : order.pods) {
        if (row < 0 || row >= 100) {
          std::abort();
        }
      }
    }
  }
  static_cast<void>(ReadNodes(path).has_value());
  static_cast<void>(ReadPublished(path).has_value());
  close(file);
  return 0;
}
