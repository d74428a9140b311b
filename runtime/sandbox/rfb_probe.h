// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::runtime {

// The smallest viewer: speaks RFB 3.8 without security up to one raw picture, and counts colours
// until enough of them say that something was painted. A state machine over bytes; the caller does
// the reading and writing. What it reads comes from a tenant: every length is bounded, nothing is
// kept but a few bytes and the colours. One thread at a time.
class RfbProbe {
 public:
  static constexpr int kColoursPainted = 20;

  enum class Progress {
    kGreeting,  // The server has not offered its display yet.
    kUp,        // It answers; a picture is asked for.
    kBlank,     // A whole picture with too few colours; call AskAgain when it is time.
    kPainted,   // Done.
    kProtocolError,
  };

  // Takes bytes from the server.
  Progress Consume(std::string_view bytes);

  // Bytes to send to the server since the last call.
  std::string TakeOutput();

  // Requires: the last Consume answered kBlank.
  void AskAgain();

 private:
  enum class State {
    kVersion,
    kSecurityCount,
    kSecurityTypes,
    kSecurityResult,
    kServerInit,
    kName,
    kMessage,
    kUpdateHead,
    kRectangle,
    kPixels,
    kColourMapHead,
    kSkip,
    kCutText,
    kFailed,
  };

  size_t Needed() const;
  Progress Step(std::string_view bytes);
  void OnServerInit(std::string_view bytes);
  void OnMessage(uint8_t type);
  void OnRectangle(std::string_view bytes);
  void NextRectangle();
  void CountPixels(std::string_view& bytes);
  Progress Now() const;

  State state_ = State::kVersion;
  std::string pending_;  // Less than one step's bytes.
  std::string output_;
  uint64_t skip_bytes_ = 0;  // Of a name, a text, a colour map; or of pixels to come.
  int security_count_ = 0;
  int rectangles_left_ = 0;
  int width_ = 0;
  int height_ = 0;
  bool up_ = false;
  bool whole_picture_ = false;
  std::set<uint32_t> colours_;
};

}  // namespace sluice::runtime
