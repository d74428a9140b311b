// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <string>
#include <sys/types.h>

#include "simgpu/internal/abi/cuda.h"
#include "simgpu/internal/abi/nvml.h"
#include "simgpu/scene.h"

namespace sluice::simgpu {

// A state folder with a scene in it, and the two libraries as a program would load them. A test's
// CUDA calls run in a child process (the libraries keep their state for a process's life): the
// child returns the number of failed expectations, 0 to 200.
class SimulatedMachine : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string form = ::testing::TempDir() + "simgpu-XXXXXX";
    ASSERT_NE(::mkdtemp(form.data()), nullptr);
    folder_ = form;
    ::setenv("SLUICE_SIMGPU_STATE", folder_.c_str(), 1);
    ::setenv("SLUICE_SIMGPU_VISIBLE", (folder_ + "/visible").c_str(), 1);
    ::unsetenv("CUDA_VISIBLE_DEVICES");
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  void UseFleet(const std::string& fleet) {
    auto scene = ParseFleet(fleet);
    ASSERT_TRUE(scene);
    scene_ = *scene;
    UseScene();
  }
  void UseScene() { ASSERT_TRUE(WriteScene(folder_, scene_)); }

  std::string folder_;
  Scene scene_;
};

// One library, opened once per process; a missing symbol is a failure of the test.
class Library {
 public:
  explicit Library(const std::string& file, const std::string& folder = kBuilt)
      : handle_(::dlopen((folder + "/" + file).c_str(), RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(handle_, nullptr) << ::dlerror();
  }
  // A copy that is loaded anew, with the scene as it is now, where this process or the one that it
  // is a child of has the library already.
  static Library Anew(const std::string& file, const std::string& folder) {
    std::filesystem::copy_file(std::string(kBuilt) + "/" + file, folder + "/" + file);
    return Library(file, folder);
  }

  // Calls by name: cuda.Call("cuMemAlloc_v2", &address, size_t{4096}). Arguments must have exactly
  // the types of the call.
  template <typename... Args>
  int Call(const char* name, Args... args) const {
    void* address = handle_ == nullptr ? nullptr : ::dlsym(handle_, name);
    if (address == nullptr) {
      ADD_FAILURE() << name << " is not exported";
      return -1;
    }
    return reinterpret_cast<int (*)(Args...)>(address)(args...);
  }

  void* Find(const char* name) const { return ::dlsym(handle_, name); }

 private:
  static constexpr const char* kBuilt = SLUICE_BUILD_DIR "/lib/simgpu";
  void* handle_;
};

// Runs `body` in a child of this process and returns its exit code; expectations that fail in it
// print as usual.
int InChild(const std::function<void()>& body);

// A child that runs `body`, says so, and then waits until it is told to end or is killed.
class HeldChild {
 public:
  explicit HeldChild(const std::function<void()>& body);
  ~HeldChild();
  HeldChild(const HeldChild&) = delete;
  HeldChild& operator=(const HeldChild&) = delete;

  pid_t pid() const { return pid_; }
  bool ready() const { return ready_; }
  void Kill();  // SIGKILL, and waits.

 private:
  pid_t pid_ = -1;
  int hold_ = -1;
  bool ready_ = false;
};

}  // namespace sluice::simgpu
