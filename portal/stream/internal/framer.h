// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::stream::internal {

// The skeleton of a parser that checks a byte stream and passes it on. A protocol is a chain of
// steps: a step asks either for a head (a few bytes, collected and handed to the next step) or for
// a payload (any number of bytes, passed on or dropped as they come). Memory is bounded by the
// longest head. One thread at a time.
//
// Derived gives Expect() its own member functions; the loop ends because every cycle of steps asks
// for at least one byte.
template <typename Derived>
class Framer {
 public:
  // Consumes all of `bytes` and appends to `out` what may go on. After an error nothing more may
  // be fed; what was appended before it is good.
  Result<void> Feed(std::string_view bytes, std::string& out) {
    out_ = &out;
    while (true) {
      if (payload_left_ > 0) {
        const size_t taken = static_cast<size_t>(std::min<uint64_t>(payload_left_, bytes.size()));
        if (payload_passes_) out.append(bytes.substr(0, taken));
        bytes.remove_prefix(taken);
        payload_left_ -= taken;
        if (payload_left_ > 0) return {};
      } else if (head_.size() < head_bytes_) {
        const size_t taken = std::min(head_bytes_ - head_.size(), bytes.size());
        head_.append(bytes.substr(0, taken));
        bytes.remove_prefix(taken);
        if (head_.size() < head_bytes_) return {};
      }
      const Step step = step_;
      auto stepped = (static_cast<Derived*>(this)->*step)();
      if (!stepped) return stepped;
    }
  }

 protected:
  using Step = Result<void> (Derived::*)();
  enum class Payload { kPass, kDrop };

  // The next step runs when `bytes` more of the head have come; it sees the whole head.
  Result<void> More(size_t bytes, Step next) {
    head_bytes_ = head_.size() + bytes;
    step_ = next;
    return {};
  }
  // Starts a new head.
  Result<void> Expect(size_t bytes, Step next) {
    head_.clear();
    return More(bytes, next);
  }
  // The next step runs when so many bytes have gone by.
  Result<void> Skip(uint64_t bytes, Payload payload, Step next) {
    head_.clear();
    head_bytes_ = 0;
    payload_left_ = bytes;
    payload_passes_ = payload == Payload::kPass;
    step_ = next;
    return {};
  }
  void Forward() { out_->append(head_); }
  void Forward(std::string_view bytes) { out_->append(bytes); }

  const std::string& head() const { return head_; }
  uint8_t Byte(size_t at) const { return static_cast<uint8_t>(head_[at]); }
  uint16_t U16(size_t at) const { return static_cast<uint16_t>(Byte(at) << 8 | Byte(at + 1)); }
  uint32_t U32(size_t at) const { return uint32_t{U16(at)} << 16 | U16(at + 2); }
  int32_t S32(size_t at) const { return static_cast<int32_t>(U32(at)); }

 private:
  std::string head_;
  size_t head_bytes_ = 0;
  uint64_t payload_left_ = 0;
  bool payload_passes_ = true;
  Step step_ = nullptr;
  std::string* out_ = nullptr;
};

}  // namespace sluice::stream::internal
