// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "shim/share_box.h"

// nvidia-ml-py, nvitop, gpustat and cuda-bindings, unchanged, in front of a simulated card: first
// alone, then with the interposer and a share of it.
namespace sluice {
namespace {

const std::string kHere = SLUICE_CLIENTS_FOLDER;

std::vector<std::string> Environment() {
  std::vector<std::string> environment;
  for (const char* name : {"PATH", "HOME", "XDG_CACHE_HOME", "LANG"}) {
    if (const char* value = std::getenv(name); value != nullptr) {
      environment.push_back(std::string(name) + "=" + value);
    }
  }
  return environment;
}

// Installs what is missing, once, before anything is preloaded.
void Prepare() {
  ASSERT_EQ(std::system(("'" + kHere + "/run' --prepare").c_str()), 0);
}

shim::ShareBox::Outcome Check(shim::ShareBox& box, int64_t memory_mib, int64_t context_mib) {
  return box.Run({kHere + "/run",
                  kHere + "/checks.py",
                  "--memory-mib",
                  std::to_string(memory_mib),
                  "--context-mib",
                  std::to_string(context_mib),
                  "--name",
                  "Sluice simulated GPU 24 GiB"},
                 Environment());
}

TEST(Clients, SeeAWholeSimulatedCard) {
  Prepare();
  shim::ShareBox box({.real_context = MiB(400), .shared = false});
  auto outcome = Check(box, 24576, 400);
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}

TEST(Clients, SeeAShareAsTheirCard) {
  Prepare();
  shim::ShareBox box({.limit = GiB(6), .context = MiB(400), .real_context = MiB(400)});
  auto outcome = Check(box, 6144, 400);
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}

}  // namespace
}  // namespace sluice
