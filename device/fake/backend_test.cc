// SPDX-License-Identifier: Apache-2.0
#include "device/fake/backend.h"

#include "device/conformance.h"

namespace sluice::device {
namespace {

class FakeFixture final : public BackendFixture {
 public:
  FakeFixture() : first_(backend_.Add(GiB(8))) { backend_.Add(GiB(8)); }

  Backend& backend() override { return backend_; }
  void LoseFirstCard() override { backend_.SetLost(first_, "fell off the bus"); }
  void RestoreFirstCard() override { backend_.SetLost(first_, ""); }
  int64_t HoldMemory(Bytes memory) override {
    backend_.SetProcesses(first_, {{.host_pid = 42, .memory = memory}});
    return 42;
  }

 private:
  FakeBackend backend_;
  GpuId first_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Fake, BackendConformance, FakeFixture);

TEST(FakeBackend, FailsAsToldUntilToldOtherwise) {
  FakeBackend backend;
  GpuId gpu = backend.Add(GiB(8));
  backend.SetFailure(Error{Code::kUnavailable, "gone", {}});
  ASSERT_FALSE(backend.Read());
  EXPECT_EQ(backend.Read().error().code, Code::kUnavailable);
  EXPECT_FALSE(backend.Access(gpu));
  backend.SetFailure(std::nullopt);
  EXPECT_TRUE(backend.Read());
}

}  // namespace
}  // namespace sluice::device
