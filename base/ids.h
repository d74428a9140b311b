// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/random.h"
#include "base/units.h"

namespace sluice {

// The name of one object. A GpuId is not a UserId; both print as their text.
template <typename Tag>
class Id {
 public:
  Id() = default;
  explicit Id(std::string text) : text_(std::move(text)) {}

  const std::string& text() const { return text_; }
  bool empty() const { return text_.empty(); }

  friend auto operator<=>(const Id&, const Id&) = default;

 private:
  std::string text_;
};

using GpuId = Id<struct GpuIdTag>;  // The card's UUID: "GPU-…".
using NodeId = Id<struct NodeIdTag>;
using ClaimId = Id<struct ClaimIdTag>;      // "clm_…"
using DesktopId = Id<struct DesktopIdTag>;  // "dsk_…"
using TemplateId = Id<struct TemplateIdTag>;
using PoolId = Id<struct PoolIdTag>;
using UserId = Id<struct UserIdTag>;  // "usr_…"
using TeamId = Id<struct TeamIdTag>;

// "dsk_01J…": prefix, then a ULID (48 bits of time, 80 random bits, Crockford base 32), so that
// ids of different milliseconds sort by creation.
std::string NewIdText(std::string_view prefix, TimePoint now, Random& random);

// Such ids, each greater than the one before, also within a millisecond and when the clock goes
// back: for whatever is served in the order of its id. One thread at a time.
class IdSequence {
 public:
  explicit IdSequence(std::string prefix) : prefix_(std::move(prefix)) {}

  std::string Next(TimePoint now, Random& random);

 private:
  std::string prefix_;
  std::string last_;
};

}  // namespace sluice

template <typename Tag>
struct std::hash<sluice::Id<Tag>> {
  size_t operator()(const sluice::Id<Tag>& id) const noexcept {
    return std::hash<std::string>()(id.text());
  }
};
