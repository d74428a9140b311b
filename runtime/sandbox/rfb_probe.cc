// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/rfb_probe.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice::runtime {
namespace {

constexpr uint8_t kSecurityNone = 1;
constexpr int kSideMax = 2048;  // More of the display is not looked at.
constexpr size_t kPixelBytes = 4;

uint32_t Big(std::string_view bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

void AddBig16(std::string& to, int value) {
  to += static_cast<char>(value >> 8 & 255);
  to += static_cast<char>(value & 255);
}

}  // namespace

size_t RfbProbe::Needed() const {
  switch (state_) {
    case State::kVersion:
      return 12;
    case State::kSecurityCount:
    case State::kMessage:
      return 1;
    case State::kSecurityTypes:
      return static_cast<size_t>(security_count_);
    case State::kSecurityResult:
      return 4;
    case State::kServerInit:
      return 24;
    case State::kUpdateHead:
      return 3;
    case State::kRectangle:
      return 12;
    case State::kColourMapHead:
      return 5;
    case State::kCutText:
      return 7;
    case State::kPixels:
      return kPixelBytes;
    case State::kName:
    case State::kSkip:
    case State::kFailed:
      return 0;
  }
  return 0;
}

RfbProbe::Progress RfbProbe::Now() const {
  if (state_ == State::kFailed) return Progress::kProtocolError;
  if (static_cast<int>(colours_.size()) >= kColoursPainted) return Progress::kPainted;
  if (whole_picture_) return Progress::kBlank;
  return up_ ? Progress::kUp : Progress::kGreeting;
}

RfbProbe::Progress RfbProbe::Consume(std::string_view bytes) {
  while (state_ != State::kFailed) {
    if (state_ == State::kName || state_ == State::kSkip) {
      const size_t count = std::min<uint64_t>(skip_bytes_, bytes.size());
      bytes.remove_prefix(count);
      skip_bytes_ -= count;
      if (skip_bytes_ > 0) break;
      if (state_ == State::kName) {
        up_ = true;
        AskAgain();
      }
      state_ = State::kMessage;
      continue;
    }
    if (state_ == State::kPixels && pending_.empty()) {
      CountPixels(bytes);
      if (state_ != State::kPixels) continue;
    }
    const size_t needed = Needed();
    const size_t take = std::min(needed - pending_.size(), bytes.size());
    pending_.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    if (pending_.size() < needed) break;
    const std::string step = std::move(pending_);
    pending_.clear();
    Step(step);
  }
  return Now();
}

RfbProbe::Progress RfbProbe::Step(std::string_view bytes) {
  switch (state_) {
    case State::kVersion:
      state_ = bytes.starts_with("RFB 003.008") ? State::kSecurityCount : State::kFailed;
      output_ += "RFB 003.008\n";
      break;
    case State::kSecurityCount:
      security_count_ = static_cast<uint8_t>(bytes[0]);
      state_ = security_count_ > 0 ? State::kSecurityTypes : State::kFailed;
      break;
    case State::kSecurityTypes: {
      const bool none = bytes.find(static_cast<char>(kSecurityNone)) != std::string_view::npos;
      state_ = none ? State::kSecurityResult : State::kFailed;
      output_ += static_cast<char>(kSecurityNone);
      break;
    }
    case State::kSecurityResult:
      state_ = Big(bytes, 0, 4) == 0 ? State::kServerInit : State::kFailed;
      output_ += '\1';  // Shared: never throws another viewer out.
      break;
    case State::kServerInit:
      OnServerInit(bytes);
      break;
    case State::kMessage:
      OnMessage(static_cast<uint8_t>(bytes[0]));
      break;
    case State::kUpdateHead:
      rectangles_left_ = static_cast<int>(Big(bytes, 1, 2)) + 1;
      NextRectangle();
      break;
    case State::kRectangle:
      OnRectangle(bytes);
      break;
    case State::kPixels:
      colours_.insert(Big(bytes, 0, 4) & 0xffffff00);
      skip_bytes_ -= kPixelBytes;
      if (skip_bytes_ == 0) NextRectangle();
      break;
    case State::kColourMapHead:
      skip_bytes_ = uint64_t{Big(bytes, 3, 2)} * 6;
      state_ = State::kSkip;
      break;
    case State::kCutText: {
      // Negative in the extended form: the absolute value is the length.
      const auto length = static_cast<int32_t>(Big(bytes, 3, 4));
      skip_bytes_ = static_cast<uint64_t>(length < 0 ? -int64_t{length} : int64_t{length});
      state_ = State::kSkip;
      break;
    }
    case State::kName:
    case State::kSkip:
    case State::kFailed:
      break;
  }
  return Now();
}

void RfbProbe::OnServerInit(std::string_view bytes) {
  width_ = std::min(static_cast<int>(Big(bytes, 0, 2)), kSideMax);
  height_ = std::min(static_cast<int>(Big(bytes, 2, 2)), kSideMax);
  skip_bytes_ = Big(bytes, 20, 4);
  state_ = width_ > 0 && height_ > 0 ? State::kName : State::kFailed;
  // SetPixelFormat: 32 bits, colours in the first three bytes; SetEncodings: raw only.
  static constexpr char kFormat[] = {0,  0,  0, 0, 32, 24, 1, 1, 0, -1, 0, -1, 0, -1,
                                     24, 16, 8, 0, 0,  0,  2, 0, 0, 1,  0, 0,  0, 0};
  output_.append(kFormat, sizeof(kFormat));
}

void RfbProbe::AskAgain() {
  whole_picture_ = false;
  colours_.clear();
  output_ += '\3';
  output_ += '\0';  // All of it, changed or not.
  for (const int value : {0, 0, width_, height_}) AddBig16(output_, value);
}

void RfbProbe::OnMessage(uint8_t type) {
  switch (type) {
    case 0:
      state_ = State::kUpdateHead;
      return;
    case 1:
      state_ = State::kColourMapHead;
      return;
    case 2:  // Bell: no body.
      return;
    case 3:
      state_ = State::kCutText;
      return;
    default:
      state_ = State::kFailed;
  }
}

void RfbProbe::NextRectangle() {
  --rectangles_left_;
  state_ = State::kRectangle;
  if (rectangles_left_ > 0) return;
  whole_picture_ = true;
  state_ = State::kMessage;
}

void RfbProbe::OnRectangle(std::string_view bytes) {
  const uint64_t pixels = uint64_t{Big(bytes, 4, 2)} * Big(bytes, 6, 2);
  if (Big(bytes, 8, 4) != 0) {
    state_ = State::kFailed;  // Not raw: nobody asked for it.
    return;
  }
  skip_bytes_ = pixels * kPixelBytes;
  state_ = State::kPixels;
  if (pixels == 0) NextRectangle();
}

void RfbProbe::CountPixels(std::string_view& bytes) {
  uint32_t last = 0;
  bool any = false;
  while (skip_bytes_ > 0 && bytes.size() >= kPixelBytes) {
    uint32_t pixel = 0;
    std::memcpy(&pixel, bytes.data(), kPixelBytes);
    if ((!any || pixel != last) && colours_.size() < kColoursPainted) {
      colours_.insert(Big(bytes, 0, 4) & 0xffffff00);
    }
    any = true;
    last = pixel;
    bytes.remove_prefix(kPixelBytes);
    skip_bytes_ -= kPixelBytes;
  }
  if (skip_bytes_ == 0) NextRectangle();
}

std::string RfbProbe::TakeOutput() {
  return std::exchange(output_, {});
}

}  // namespace sluice::runtime
