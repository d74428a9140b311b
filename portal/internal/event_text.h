// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "portal/internal/app.h"
#include "store/store.h"

// What a stream of events carries, and how an event looks on the wire.
namespace sluice::portal {

// Bits of what a stream carries.
enum Topic : unsigned {
  kTopicDesktops = 1,
  kTopicGpus = 2,
  kTopicQueue = 4,
  kTopicUsers = 8,
  kTopicAudit = 16,
};

struct TopicRow {
  std::string_view word;  // In ?topics=.
  unsigned bit;
  store::Kind kind;  // Whose changes it shows.
};
inline constexpr std::array<TopicRow, 5> kTopics = {{
    {"desktops", kTopicDesktops, store::Kind::kDesktop},
    {"gpus", kTopicGpus, store::Kind::kGpu},
    {"queue", kTopicQueue, store::Kind::kClaim},
    {"users", kTopicUsers, store::Kind::kUser},
    {"audit", kTopicAudit, store::Kind::kAudit},
}};

// "desktops,gpus" → bits; empty is all. nullopt for an unknown word.
std::optional<unsigned> ParseTopics(std::string_view words);
// The topics that this caller may see.
unsigned TopicsFor(const Caller& caller);

// Text that goes to many streams.
using Piece = std::shared_ptr<const std::string>;

// One event; version 0: without an id, because it is no change of the store. Requires: `data` is
// one line.
Piece MakePiece(std::string_view event, uint64_t version, std::string_view data);
// "The history is gone, list again."
Piece ResetPiece(uint64_t version);
Piece DeletedPiece(std::string_view kind, const std::string& id, uint64_t version);

}  // namespace sluice::portal
