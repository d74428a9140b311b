// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "control/control.h"
#include "model/claim.h"
#include "model/desktop.h"
#include "model/gpu.h"
#include "portal/internal/app.h"
#include "portal/internal/json_writer.h"

namespace sluice::portal {

// Model objects as the API shows them. Made for one request or one batch of events, because it
// remembers what it has looked up. One thread at a time.
class View {
 public:
  explicit View(App& app) : app_(app) {}

  void Write(JsonWriter& json, const store::Versioned<Desktop>& desktop);
  // `caller` decides whose names are shown; null: only what anybody may see.
  void Write(JsonWriter& json, const store::Versioned<Gpu>& gpu, const Caller* caller);
  void WriteRun(JsonWriter& json,
                const store::Versioned<Claim>& run,
                const std::optional<agent::PreparedShare>& prepared);

  std::string Json(const store::Versioned<Desktop>& desktop);

  // The sign-in name; "(removed)" for a user who is no more.
  std::string UserName(const UserId& user);

 private:
  void WriteAllocations(JsonWriter& json, const Claim* claim);
  void WriteStops(JsonWriter& json, const Desktop& desktop);
  void WriteQueue(JsonWriter& json, const Desktop& desktop);
  void WriteStages(JsonWriter& json, const Desktop& desktop);
  void WriteUsage(JsonWriter& json, const Desktop& desktop);
  void WriteShare(JsonWriter& json, const Share& share, const Caller* caller);
  const agent::CardState* CardOf(const GpuId& id);

  App& app_;
  std::map<UserId, std::string> names_;
  std::optional<std::map<LaunchStage, Duration>> usual_;
  std::optional<std::vector<agent::CardState>> cards_;
};

// What a run's answer says of where it stands, as one word: equal words, equal answers.
std::string RunMark(const Claim& claim, const std::optional<control::QueuePlace>& place);

// What is asked of the cards: memory_bytes, model, guarantee_percent, cap_percent, priority.
void WriteGpuRequest(JsonWriter& json, const ClaimRequest& request);

// "start": when something that waits is likely to start; null where nothing is known.
void WriteStartRange(JsonWriter& json, const control::StartRange& range);

// The members of a user, without the object's braces, so that callers may add some.
void WriteUserMembers(JsonWriter& json, const User& user, uint64_t version);
void WriteLoad(JsonWriter& json, const std::optional<ShareLoad>& load);

// {"items":[…],"next_cursor":…,"resource_version":N} around what `json` has inside.
class ListWriter {
 public:
  ListWriter();
  JsonWriter& json() { return json_; }
  // An empty cursor: the last page.
  net::Response Finish(uint64_t version, std::string_view next_cursor = "");
  // For members beside the list, before Finish().
  JsonWriter& EndItems();

 private:
  JsonWriter json_;
  bool items_open_ = true;
};

}  // namespace sluice::portal
