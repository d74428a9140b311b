// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "portal/stream/internal/framer.h"
#include "portal/stream/internal/rfb.h"
#include "portal/stream/relay.h"

namespace sluice::stream::internal {

struct ServerLimits {
  uint32_t cut_text_bytes_max = 1 << 20;    // A larger clipboard is dropped with a notice.
  uint32_t cut_text_bytes_wall = 64 << 20;  // A larger one ends the connection.
  uint32_t side_max = 16'384;
  uint64_t pixels_max = uint64_t{64} << 20;
  uint32_t cursor_side_max = 1'024;
};

// What a display sends to a browser. The display belongs to a tenant who may have replaced it, so
// every length is checked before a byte goes on; compressed data is measured, never unpacked.
// Feed() fails with kInvalidArgument (not what RFB 3.8 allows) or kResourceExhausted (clipboard
// past the wall); the message is a sentence for the user.
class RfbServerParser : public Framer<RfbServerParser> {
 public:
  explicit RfbServerParser(Mode mode, const ServerLimits& limits = {});

  // The client's choice; before the first update.
  void SetPixelFormat(const PixelFormat& format) { format_ = format; }
  bool ready() const { return ready_; }  // The handshake is over.
  uint32_t width() const { return width_; }
  uint32_t height() const { return height_; }
  uint64_t updates() const { return updates_; }  // Whole FramebufferUpdates.
  bool TakeClipboardNotice();

 private:
  friend class Framer<RfbServerParser>;

  struct Rectangle {
    uint32_t x = 0;
    uint32_t y = 0;
    uint32_t width = 0;
    uint32_t height = 0;
    int32_t encoding = 0;
    uint64_t area() const { return uint64_t{width} * height; }
  };

  // The handshake.
  Result<void> OnVersion();
  Result<void> OnSecurityCount();
  Result<void> OnSecurityTypes();
  Result<void> OnSecurityResult();
  Result<void> OnServerInit();
  // Messages.
  Result<void> NextMessage();
  Result<void> OnType();
  Result<void> OnUpdate();
  Result<void> OnColourMap();
  Result<void> OnPassOn();
  Result<void> OnCutText();
  Result<void> OnFence();
  // Rectangles.
  Result<void> NextRectangle();
  Result<void> EndUpdate();
  Result<void> OnRectangle();
  Result<void> StartPixels();
  Result<void> StartCursor();
  Result<void> OnVmwareCursor();
  Result<void> OnNotice();
  Result<void> OnScreens();
  Result<void> OnName();
  Result<void> OnCopySource();
  Result<void> OnRreCount();
  Result<void> OnZlibLength();
  Result<void> NextTile();
  Result<void> OnTileFlags();
  Result<void> OnTileCount();
  // Tight.
  Result<void> OnTightControl();
  Result<void> OnTightFilter();
  Result<void> OnTightPalette();
  Result<void> StartTightData(uint64_t bytes);
  Result<void> OnTightLength();

  Result<void> Resize(uint32_t width, uint32_t height);
  Result<void> PassThen(uint64_t bytes, Step next) { return Skip(bytes, Payload::kPass, next); }

  const Mode mode_;
  const ServerLimits limits_;
  PixelFormat format_;
  bool ready_ = false;
  uint32_t width_ = 0;
  uint32_t height_ = 0;
  uint64_t updates_ = 0;
  bool clipboard_notice_ = false;
  uint32_t rectangles_left_ = 0;
  bool until_last_ = false;  // The number of rectangles is open; LastRect ends it.
  Rectangle rectangle_;
  uint32_t tile_x_ = 0;
  uint32_t tile_y_ = 0;
  uint64_t tight_bytes_max_ = 0;
};

}  // namespace sluice::stream::internal
