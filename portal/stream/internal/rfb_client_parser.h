// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "portal/stream/internal/framer.h"
#include "portal/stream/internal/rfb.h"
#include "portal/stream/relay.h"

namespace sluice::stream::internal {

struct ClientLimits {
  // A larger clipboard is dropped with a notice, one past the second limit ends the connection.
  uint32_t cut_text_bytes_max = 1 << 20;
  uint32_t cut_text_bytes_wall = 64 << 20;
  // Keys, buttons and movements. Movements past it are dropped; who sends so many keys and clicks
  // that twice the burst is used up is cut off.
  int64_t input_per_second = 1'000;
  int64_t input_burst = 2'000;
};

// What a browser sends to a display. Passes on: the handshake without a password, always as a
// shared client; requests for updates; fences; and, in control mode, keys, pointer, clipboard and
// sizes. In view mode those are dropped. Encodings that the server parser cannot frame are taken
// out of the client's list. Feed() fails with kInvalidArgument (not RFB 3.8, or something no client
// of ours sends), kResourceExhausted (clipboard past the wall) or kPermissionDenied (flood); the
// message is a sentence for the user.
class RfbClientParser : public Framer<RfbClientParser> {
 public:
  RfbClientParser(Mode mode, const Clock& clock, const ClientLimits& limits = {});

  // Set once the client chose one, before its first request for an update.
  const std::optional<PixelFormat>& pixel_format() const { return pixel_format_; }
  // Zero: no input yet. Input of view mode does not count.
  TimePoint last_input_at() const { return last_input_at_; }
  // True once after a clipboard was dropped for its size.
  bool TakeClipboardNotice();

 private:
  friend class Framer<RfbClientParser>;

  enum class InputKind { kMotion, kOther };

  Result<void> OnVersion();
  Result<void> OnSecurity();
  Result<void> OnClientInit();
  Result<void> NextMessage();
  Result<void> OnType();
  Result<void> OnSetPixelFormat();
  Result<void> OnSetEncodings();
  Result<void> OnEncodingList();
  Result<void> OnUpdateRequest();
  Result<void> OnKey();
  Result<void> OnPointer();
  Result<void> OnCutText();
  Result<void> OnPassOn();
  Result<void> OnFence();
  Result<void> OnFenceData();
  Result<void> OnDesktopSize();
  Result<void> OnScreens();
  Result<void> OnXvp();
  Result<void> OnQemu();
  Result<void> OnQemuKey();
  Result<void> ForwardInput(InputKind kind);
  bool controls() const { return mode_ == Mode::kControl; }

  const Mode mode_;
  const Clock& clock_;
  const ClientLimits limits_;
  std::optional<PixelFormat> pixel_format_;
  bool may_resize_ = false;  // The viewer announced the encoding that answers a new size.
  bool requested_ = false;   // Updates may be under way: the pixel format stays as it is.
  bool clipboard_notice_ = false;
  TimePoint last_input_at_{};
  uint8_t buttons_ = 0;
  int64_t tokens_milli_;
  Duration tokens_at_;
};

}  // namespace sluice::stream::internal
