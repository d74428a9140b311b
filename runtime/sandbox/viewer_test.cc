// SPDX-License-Identifier: Apache-2.0
// What a person at the other end of the display can do: type, paste, change the size.
#include <array>
#include <chrono>
#include <filesystem>
#include <gtest/gtest.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/conformance/conformance.h"
#include "runtime/sandbox.h"
#include "runtime/sandbox/sockets.h"
#include "runtime/sandbox/temp_folder.h"

namespace sluice::runtime {
namespace {

namespace fs = std::filesystem;

std::string Big16(int value) {
  return {static_cast<char>(value >> 8 & 255), static_cast<char>(value & 255)};
}
std::string Big32(int value) {
  return Big16(value >> 16 & 0xffff) + Big16(value & 0xffff);
}

// A viewer that sends and looks at nothing.
class Viewer {
 public:
  explicit Viewer(const std::string& path) {
    auto connected = ConnectUnix(path);
    EXPECT_TRUE(connected);
    if (!connected) return;
    socket_ = std::move(*connected);
    Read(12);
    Send("RFB 003.008\n");
    Read(static_cast<size_t>(Read(1)[0]));
    Send("\1");
    Read(4);
    Send("\1");
    const std::string init = Read(24);
    Read(static_cast<size_t>(static_cast<unsigned char>(init[23])));
    constexpr int kRaw = 0;
    constexpr int kExtendedDesktopSize = -308;
    Send(std::string("\2\0", 2) + Big16(2) + Big32(kRaw) + Big32(kExtendedDesktopSize));
    Send(std::string("\3\0", 2) + Big16(0) + Big16(0) + Big16(1) + Big16(1));
    Read(1);
  }

  void Key(int keysym, bool down) {
    Send(std::string("\4", 1) + static_cast<char>(down) + Big16(0) + Big32(keysym));
  }
  void Type(const std::string& text) {
    constexpr int kReturn = 0xff0d;
    for (const char c : text) {
      for (const bool down : {true, false}) Key(c == '\n' ? kReturn : c, down);
    }
  }
  void Paste() {
    constexpr int kShift = 0xffe1;
    constexpr int kInsert = 0xff63;
    Key(kShift, true);
    for (const bool down : {true, false}) Key(kInsert, down);
    Key(kShift, false);
  }
  void CutText(const std::string& text) {
    Send(std::string("\6\0\0\0", 4) + Big32(static_cast<int>(text.size())) + text);
  }
  void Resize(int width, int height) {
    Send(std::string("\xfb\0", 2) + Big16(width) + Big16(height) + std::string("\1\0", 2) +
         Big32(0) + Big16(0) + Big16(0) + Big16(width) + Big16(height) + Big32(0));
  }

 private:
  std::string Read(size_t count) {
    std::string bytes(count, '\0');
    const auto got = ::recv(socket_.get(), bytes.data(), count, MSG_WAITALL);
    EXPECT_EQ(got, static_cast<ssize_t>(count));
    return bytes;
  }
  void Send(const std::string& bytes) {
    EXPECT_EQ(::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  Fd socket_;
};

class AtTheDesktop : public ::testing::Test {
 protected:
  AtTheDesktop() : spec_(SpecOf("viewed")) {
    SandboxOptions options;
    options.state_folder = folder_ / "state";
    options.volatile_folder = folder_ / "run";
    options.supervisor = std::string(SLUICE_BUILD_DIR) + "/bin/sluice-supervise";
    auto opened = OpenSandbox(options);
    EXPECT_TRUE(opened) << ToString(opened.error());
    runtime_ = std::move(*opened);
  }
  ~AtTheDesktop() override { EXPECT_TRUE(runtime_->Remove(spec_.desktop, false)); }

  Viewer Open() {
    EXPECT_TRUE(runtime_->Prepare(spec_));
    EXPECT_TRUE(runtime_->Start(spec_.desktop));
    WaitForPhase(*runtime_, spec_.desktop, Phase::kRunning);
    return Viewer(runtime_->Attach(spec_.desktop)->rfb_socket);
  }

  // Acts again and again (a window needs a moment to take the keys) until the home has the file.
  template <typename F>
  bool MakesFile(const std::string& name, F act) {
    const std::string path = folder_ / ("state/homes/" + spec_.home_id + "/" + name);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!fs::exists(path)) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      act();
      ::poll(nullptr, 0, 200);
    }
    return true;
  }

  TempFolder folder_;
  LaunchSpec spec_;
  std::unique_ptr<Runtime> runtime_;
};

TEST_F(AtTheDesktop, TypesIntoTheTerminal) {
  spec_.autostart = {"xterm"};
  Viewer viewer = Open();
  EXPECT_TRUE(MakesFile("typed", [&] { viewer.Type("touch typed\n"); }));
}

TEST_F(AtTheDesktop, PastesWhatItCopiedElsewhere) {
  spec_.autostart = {"xterm"};
  Viewer viewer = Open();
  viewer.CutText("touch pasted");
  EXPECT_TRUE(MakesFile("pasted", [&] {
    viewer.Paste();
    viewer.Type("\n");
  }));
}

TEST_F(AtTheDesktop, ChangesTheSize) {
  spec_.autostart = {
      "until xrandr | grep -q 'current 1001 x 601'; do sleep 0.05; done; touch ~/ok"};
  Viewer viewer = Open();
  viewer.Resize(1001, 601);
  EXPECT_TRUE(MakesFile("ok", [] {}));
}

}  // namespace
}  // namespace sluice::runtime
