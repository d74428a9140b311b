// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "store/store.h"

namespace sluice::store {

std::string_view ToString(Kind kind) {
  static constexpr std::array<std::string_view, kKindCount> kNames = {"gpu",
                                                                      "claim",
                                                                      "desktop",
                                                                      "template",
                                                                      "pool",
                                                                      "user",
                                                                      "session",
                                                                      "token",
                                                                      "audit",
                                                                      "idempotency",
                                                                      "setting",
                                                                      "team",
                                                                      "past_claim",
                                                                      "reservation",
                                                                      "past_reservation"};
  const auto index = static_cast<size_t>(kind);
  return index < kNames.size() ? kNames[index] : std::string_view("unknown");
}

}  // namespace sluice::store
