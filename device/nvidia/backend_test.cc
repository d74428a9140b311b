// SPDX-License-Identifier: Apache-2.0
#include "device/nvidia/backend.h"

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device/conformance.h"
#include "simgpu/scene.h"

namespace sluice::device {
namespace {

std::string Lib(const char* name) {
  return std::string(SLUICE_BUILD_DIR) + "/lib/simgpu/" + name;
}

std::string MakeFolder() {
  std::string form = ::testing::TempDir() + "nvidia-XXXXXX";
  EXPECT_NE(::mkdtemp(form.data()), nullptr);
  return form;
}

// A process that takes memory of the first simulated card and waits to be ended.
class Holder {
 public:
  Holder(const std::string& state, Bytes memory) {
    int said[2];
    EXPECT_EQ(::pipe(said), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setenv("SLUICE_SIMGPU_STATE", state.c_str(), 1);
      char byte = Take(memory) ? 'y' : 'n';
      [[maybe_unused]] ssize_t wrote = ::write(said[1], &byte, 1);
      while (true) ::pause();
    }
    char byte = 0;
    EXPECT_EQ(::read(said[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
    ::close(said[0]);
    ::close(said[1]);
  }
  ~Holder() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  pid_t pid() const { return pid_; }

 private:
  static bool Take(Bytes memory) {
    void* cuda = ::dlopen(Lib("libcuda.so.1").c_str(), RTLD_NOW);
    if (cuda == nullptr) return false;
    auto init = reinterpret_cast<int (*)(unsigned)>(::dlsym(cuda, "cuInit"));
    auto create = reinterpret_cast<int (*)(void**, unsigned, int)>(::dlsym(cuda, "cuCtxCreate_v2"));
    auto allocate =
        reinterpret_cast<int (*)(unsigned long long*, size_t)>(::dlsym(cuda, "cuMemAlloc_v2"));
    void* context = nullptr;
    unsigned long long address = 0;
    return init(0) == 0 && create(&context, 0, 0) == 0 &&
           allocate(&address, static_cast<size_t>(memory.value())) == 0;
  }

  pid_t pid_ = -1;
};

class NvidiaFixture final : public BackendFixture {
 public:
  NvidiaFixture() : folder_(MakeFolder()) {
    auto scene = simgpu::ParseFleet("2x8GiB");
    EXPECT_TRUE(scene);
    scene_ = *scene;
    Write();
    auto backend = nvidia::Open({.library = Lib("libnvidia-ml.so.1"), .simulated_state = folder_});
    EXPECT_TRUE(backend) << (backend ? "" : backend.error().message);
    if (backend) backend_ = std::move(*backend);
  }
  ~NvidiaFixture() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  Backend& backend() override { return *backend_; }
  void LoseFirstCard() override {
    scene_.cards[0].faults = {"lost"};
    Write();
  }
  void RestoreFirstCard() override {
    scene_.cards[0].faults = {};
    Write();
  }
  int64_t HoldMemory(Bytes memory) override {
    holder_ = std::make_unique<Holder>(folder_, memory);
    return holder_->pid();
  }
  void Partition() {
    scene_.cards[0].parts = {{"MIG-00000000-0000-0000-0000-000000000001", 3, GiB(4)}};
    Write();
  }
  const std::string& folder() const { return folder_; }

 private:
  void Write() { EXPECT_TRUE(simgpu::WriteScene(folder_, scene_)); }

  std::string folder_;
  simgpu::Scene scene_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Holder> holder_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Nvidia, BackendConformance, NvidiaFixture);

TEST(NvidiaBackend, MarksSimulatedCardsAndGivesTheirFolders) {
  NvidiaFixture fixture;
  auto cards = fixture.backend().Read();
  ASSERT_TRUE(cards);
  EXPECT_TRUE((*cards)[0].gpu.simulated);
  EXPECT_EQ((*cards)[0].gpu.model, "Sluice simulated GPU 8 GiB");
  auto access = fixture.backend().Access((*cards)[0].gpu.id);
  ASSERT_TRUE(access);
  EXPECT_EQ(access->library_dirs,
            std::vector<std::string>{std::string(SLUICE_BUILD_DIR) + "/lib/simgpu"});
  EXPECT_EQ(access->read_write, std::vector<std::string>{fixture.folder()});
  EXPECT_TRUE(access->device_nodes.empty());
}

TEST(NvidiaBackend, ShowsACardInMigModeAsPartitioned) {
  NvidiaFixture fixture;
  fixture.Partition();
  auto cards = fixture.backend().Read();
  ASSERT_TRUE(cards);
  EXPECT_EQ((*cards)[0].gpu.mode, GpuMode::kPartitioned);
  EXPECT_EQ((*cards)[0].gpu.memory, GiB(8));
  EXPECT_EQ((*cards)[1].gpu.mode, GpuMode::kShared);
}

TEST(NvidiaBackend, SaysThatTheLibraryIsMissing) {
  auto backend = nvidia::Open({.library = "/not/there/libnvidia-ml.so.1"});
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, Code::kUnavailable);
}

TEST(NvidiaBackend, RefusesALibraryThatIsNotNvml) {
  auto backend = nvidia::Open({.library = "libc.so.6"});
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, Code::kFailedPrecondition);
}

TEST(NvidiaBackend, SaysThatNoDriverIsLoaded) {
  std::string folder = MakeFolder();
  auto backend = nvidia::Open({.library = Lib("libnvidia-ml.so.1"), .simulated_state = folder});
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, Code::kUnavailable);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sluice::device
