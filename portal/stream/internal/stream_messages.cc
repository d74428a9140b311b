// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/internal/stream_messages.h"

#include <nlohmann/json.hpp>

namespace sluice::stream::internal {
namespace {

using nlohmann::json;

// Names come from people: bytes that are not UTF-8 are replaced instead of thrown over.
std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

Result<TicketMessage> ParseTicketMessage(std::string_view text) {
  const auto bad = [] {
    return Fail(Code::kInvalidArgument, "the first message must hold the ticket");
  };
  if (text.size() > kTicketMessageBytesMax) return bad();
  const json value = json::parse(text, nullptr, false);
  if (!value.is_object()) return bad();
  TicketMessage message;
  for (const auto& [key, member] : value.items()) {
    if (key == "ticket" && member.is_string()) {
      message.ticket = member.get<std::string>();
    } else if (key == "take_over" && member.is_boolean()) {
      message.take_over = member.get<bool>();
    } else {
      return bad();
    }
  }
  if (message.ticket.empty()) return bad();
  return message;
}

std::string ReadyMessage(Mode mode, const DesktopId& desktop) {
  return Dump({{"type", "ready"},
               {"mode", mode == Mode::kControl ? "control" : "view"},
               {"desktop_id", desktop.text()}});
}

std::string RefusedMessage(std::string_view code, const std::string& detail) {
  return Dump({{"type", "refused"}, {"code", code}, {"detail", detail}});
}

std::string BannerMessage(const std::string& text, const std::string& by) {
  return Dump({{"type", "banner"}, {"text", text}, {"by", by}});
}

std::string UserMessage(const std::string& text, const std::string& by) {
  return Dump({{"type", "message"}, {"text", text}, {"by", by}});
}

std::string StoppingMessage(TimePoint at, const std::string& reason) {
  return Dump({{"type", "stopping"}, {"at", ToRfc3339(at)}, {"reason", reason}});
}

}  // namespace sluice::stream::internal
