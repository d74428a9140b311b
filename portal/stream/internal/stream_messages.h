// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "portal/stream/relay.h"

// The text messages of /v1/stream. RFB goes in binary ones.
namespace sluice::stream::internal {

inline constexpr size_t kTicketMessageBytesMax = 4096;

struct TicketMessage {
  std::string ticket;
  bool take_over = false;
};

// {"ticket":"…","take_over":false}. Fails with kInvalidArgument on anything else.
Result<TicketMessage> ParseTicketMessage(std::string_view text);

std::string ReadyMessage(Mode mode, const DesktopId& desktop);
std::string RefusedMessage(std::string_view code, const std::string& detail);
// `text` empty: whoever `by` is looks no longer.
std::string BannerMessage(const std::string& text, const std::string& by);
std::string UserMessage(const std::string& text, const std::string& by);
std::string StoppingMessage(TimePoint at, const std::string& reason);

}  // namespace sluice::stream::internal
