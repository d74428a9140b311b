// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "shim/share_box.h"
#include "simgpu/tests/machine.h"

// Programs that nobody here wrote, unchanged, in front of a simulated card: first alone, then in a
// share of it beside somebody else. Each see_NAME.py asserts what the user of that client sees.
namespace sluice {
namespace {

const std::string kHere = SLUICE_CLIENTS_FOLDER;

std::vector<std::string> Environment() {
  std::vector<std::string> environment = {"PYTHONDONTWRITEBYTECODE=1"};
  for (const char* name : {"PATH", "HOME", "XDG_CACHE_HOME", "LANG"}) {
    if (const char* value = std::getenv(name); value != nullptr) {
      environment.push_back(std::string(name) + "=" + value);
    }
  }
  return environment;
}

class Client : public testing::TestWithParam<const char*> {
 protected:
  // Installs what is missing, once, before anything is preloaded.
  void SetUp() override { ASSERT_EQ(std::system(("'" + kHere + "/run' --prepare").c_str()), 0); }

  static void Expect(shim::ShareBox& box, int64_t memory_mib) {
    const auto outcome = box.Run({kHere + "/run",
                                  kHere + "/see_" + GetParam() + ".py",
                                  "--memory-mib",
                                  std::to_string(memory_mib),
                                  "--context-mib",
                                  "400",
                                  "--name",
                                  "Sluice simulated GPU 24 GiB"},
                                 Environment());
    EXPECT_EQ(outcome.status, 0) << outcome.output;
  }
};

TEST_P(Client, SeesAWholeSimulatedCard) {
  shim::ShareBox box({.real_context = MiB(400), .shared = false});
  Expect(box, 24576);
}

// What another share's program has is neither in the figures nor in the lists.
TEST_P(Client, SeesAShareAsItsCardAndNobodyElse) {
  shim::ShareBox box({.limit = GiB(6), .context = MiB(400), .real_context = MiB(400)});
  const simgpu::HeldChild somebody([&] {
    setenv("SLUICE_SIMGPU_STATE", box.state_folder().c_str(), 1);
    const simgpu::Library cuda("libcuda.so.1");
    CUcontext context = nullptr;
    CUdeviceptr block = 0;
    EXPECT_EQ(cuda.Call("cuInit", 0u), 0);
    EXPECT_EQ(cuda.Call("cuCtxCreate_v2", &context, 0u, CUdevice{0}), 0);
    EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &block, size_t{1} << 30), 0);
  });
  ASSERT_TRUE(somebody.ready());
  Expect(box, 6144);
}

INSTANTIATE_TEST_SUITE_P(
    OfPyPI,
    Client,
    testing::Values("cuda_bindings", "gpustat", "numba_cuda", "nvidia_ml_py", "nvitop", "tinygrad"),
    [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace sluice
