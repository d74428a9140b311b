// SPDX-License-Identifier: Apache-2.0
// The relay in front of a real Xtigervnc, with a real program on it.
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

#include "portal/stream/internal/rfb.h"
#include "portal/stream/testing/one_desktop.h"
#include "portal/stream/testing/real_display.h"
#include "portal/stream/testing/rfb_bytes.h"
#include "portal/stream/testing/rfb_viewer.h"
#include "portal/stream/testing/viewer.h"

namespace sluice::stream {
namespace {

using namespace testing;  // NOLINT: the words of this test's language.
namespace encoding = internal::encoding;

class Stream : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "sluice-stream-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    auto display = RealDisplay::Start(folder_, "640x480");
    ASSERT_TRUE(display) << display.error().message;
    display_ = *std::move(display);
    desktop_ = std::make_unique<OneDesktop>(display_->socket());
  }

  void TearDown() override {
    desktop_.reset();
    display_.reset();
    std::filesystem::remove_all(folder_);
  }

  void StartTerminal() {
    ASSERT_TRUE(display_->Run({"xterm", "-geometry", "80x24+0+0", "-e", "cat"}));
  }

  // A viewer that got past "ready". It takes over: the last one may not be gone yet.
  std::unique_ptr<Viewer> Open(const std::string& ticket) {
    auto viewer = Viewer::Open(desktop_->endpoint(), ticket, true);
    EXPECT_TRUE(viewer);
    EXPECT_NE((*viewer)->NextText().find("\"ready\""), std::string::npos);
    return *std::move(viewer);
  }

  static RfbViewer::Transport Over(Viewer& viewer) {
    return {[&viewer](const std::string& bytes) { return viewer.Send(bytes); },
            [&viewer] { return viewer.ReadSome(); }};
  }

  std::string folder_;
  std::unique_ptr<RealDisplay> display_;
  std::unique_ptr<OneDesktop> desktop_;
};

TEST_F(Stream, FollowsEveryEncodingOfARealServer) {
  StartTerminal();
  const std::vector<int32_t> lists[] = {
      {encoding::kRaw},
      {encoding::kCopyRect, encoding::kRre},
      {encoding::kHextile},
      {encoding::kZrle},
      {encoding::kTight, -256 + 2},
      {encoding::kTight, -32 + 6, -256 + 9},
      {encoding::kCopyRect,
       encoding::kTight,
       encoding::kTightPng,
       encoding::kZrle,
       encoding::kHextile,
       encoding::kRre,
       -32 + 6,
       -256 + 2,
       encoding::kDesktopSize,
       encoding::kLastRect,
       encoding::kQemuKeyEvent,
       encoding::kExtendedDesktopSize,
       encoding::kDesktopName,
       encoding::kFence,
       encoding::kContinuousUpdates,
       encoding::kCursor,
       encoding::kXCursor,
       encoding::kVmwareCursor,
       encoding::kLedState,
       encoding::kVmwareLedState,
       encoding::kExtendedClipboard},
  };
  for (const auto& list : lists) {
    const auto viewer = Open("ticket");
    RfbViewer rfb(Over(*viewer));
    ASSERT_TRUE(rfb.Start(list)) << rfb.error() << viewer->WaitClosed();
    EXPECT_EQ(rfb.width(), 640u);
    for (int i = 0; i < 3; ++i) {
      rfb.Request(false);
      ASSERT_TRUE(rfb.AwaitUpdate()) << rfb.error() << viewer->WaitClosed();
    }
    for (const char letter : std::string("ls -l\r")) {
      rfb.Key(letter == '\r' ? 0xff0d : static_cast<uint32_t>(letter));
      rfb.Request(true);
      ASSERT_TRUE(rfb.AwaitUpdate()) << rfb.error() << viewer->WaitClosed();
    }
  }
}

TEST_F(Stream, ResizesTheDesktop) {
  const auto viewer = Open("ticket");
  RfbViewer rfb(Over(*viewer));
  ASSERT_TRUE(rfb.Start({encoding::kTight, encoding::kExtendedDesktopSize}));
  rfb.Request(false);
  ASSERT_TRUE(rfb.AwaitUpdate());
  rfb.Send(B({251, 0}) + U16(800) + U16(600) + B({1, 0}) + U32(0) + U16(0) + U16(0) + U16(800) +
           U16(600) + U32(0));
  while (rfb.width() != 800 || rfb.height() != 600) {
    rfb.Request(true);
    ASSERT_TRUE(rfb.AwaitUpdate()) << rfb.error();
  }
}

TEST_F(Stream, LetsAViewerLookWithoutTouching) {
  StartTerminal();
  const auto controller = Open("ticket");
  RfbViewer control(Over(*controller));
  ASSERT_TRUE(control.Start({encoding::kZrle}));
  const auto watcher = Open("view");
  RfbViewer view(Over(*watcher));
  ASSERT_TRUE(view.Start({encoding::kZrle, encoding::kExtendedDesktopSize}));
  view.Send(B({251, 0}) + U16(320) + U16(200) + B({1, 0}) + U32(0) + U16(0) + U16(0) + U16(320) +
            U16(200) + U32(0));
  for (RfbViewer* one : {&view, &control}) {
    one->Request(false);
    ASSERT_TRUE(one->AwaitUpdate()) << one->error();
    EXPECT_EQ(one->width(), 640u);
  }
}

TEST_F(Stream, EndsCleanlyWhenTheServerIsKilled) {
  const auto viewer = Open("ticket");
  RfbViewer rfb(Over(*viewer));
  ASSERT_TRUE(rfb.Start({encoding::kRaw}));
  display_->Kill();
  const std::string closed = viewer->WaitClosed();
  EXPECT_EQ(closed.substr(0, 11), "closed 1011") << closed;
  auto again = Viewer::Open(desktop_->endpoint(), "ticket");
  ASSERT_TRUE(again);
  EXPECT_NE((*again)->NextText().find("refused"), std::string::npos);
}

}  // namespace
}  // namespace sluice::stream
