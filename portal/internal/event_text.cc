// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/event_text.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "portal/internal/json_writer.h"

namespace sluice::portal {

std::optional<unsigned> ParseTopics(std::string_view words) {
  if (words.empty()) return ~0U;
  unsigned bits = 0;
  while (true) {
    const size_t comma = words.find(',');
    const std::string_view word = words.substr(0, comma);
    const auto row = std::ranges::find(kTopics, word, &TopicRow::word);
    if (row == kTopics.end()) return std::nullopt;
    bits |= row->bit;
    if (comma == std::string_view::npos) return bits;
    words.remove_prefix(comma + 1);
  }
}

unsigned TopicsFor(const Caller& caller) {
  const auto scoped = [&caller](std::string_view scope) {
    return caller.kind != Caller::Kind::kToken ||
           std::ranges::find(caller.scopes, scope) != caller.scopes.end();
  };
  unsigned topics = 0;
  if (scoped("desktops:read")) topics |= kTopicDesktops;
  if (scoped("gpus:read")) topics |= kTopicGpus | kTopicQueue;
  if (scoped("admin") && caller.Is(Role::kAdmin)) topics |= kTopicUsers;
  if (scoped("admin") && caller.Is(Role::kOperator)) topics |= kTopicAudit;
  return topics;
}

Piece MakePiece(std::string_view event, uint64_t version, std::string_view data) {
  std::string text;
  text.reserve(data.size() + 64);
  if (version != 0) text += fmt::format("id: {}\n", version);
  text += fmt::format("event: {}\ndata: ", event);
  text += data;
  text += "\n\n";
  return std::make_shared<const std::string>(std::move(text));
}

Piece ResetPiece(uint64_t version) {
  return MakePiece("reset", version, fmt::format("{{\"resource_version\":{}}}", version));
}

Piece DeletedPiece(std::string_view kind, const std::string& id, uint64_t version) {
  JsonWriter json;
  json.BeginObject().Field("kind", kind).Field("id", id).EndObject();
  return MakePiece("deleted", version, json.text());
}

}  // namespace sluice::portal
