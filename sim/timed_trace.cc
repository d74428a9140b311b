// SPDX-License-Identifier: Apache-2.0
#include "sim/timed_trace.h"

#include <algorithm>
#include <fmt/core.h>
#include <string>

#include "base/random.h"

namespace sluice::sim {
namespace {

constexpr int64_t kCardMilli = 1000;

std::string SizeOf(const TracePod& pod) {
  if (pod.gpus == 1 && pod.gpu_milli < kCardMilli) return "share";
  return fmt::format("{} card{}", pod.gpus, pod.gpus == 1 ? "" : "s");
}

ClaimRequest RequestOf(const TracePod& pod, Bytes card) {
  return {.count = pod.gpus,
          .memory = Bytes(card.value() / kCardMilli * pod.gpu_milli),
          .guarantee = ComputeMillis(pod.core_milli),
          .whole = pod.gpu_milli == kCardMilli,
          .gpu_model = pod.models.empty() ? std::string() : pod.models.front()};
}

// Thousandths of a card times seconds.
int64_t WorkOf(const TracePod& pod) {
  return (*pod.deleted_s - *pod.scheduled_s) * pod.gpus * pod.gpu_milli;
}

// Whether the request is played; else it is counted.
bool Takes(const TracePod& pod, int64_t from_s, TimedTrace& trace) {
  if (pod.gpus == 0) {
    ++trace.without_card;
  } else if (pod.models.size() > 1) {
    ++trace.many_models;
  } else if (!pod.created_s || !pod.scheduled_s || !pod.deleted_s ||
             *pod.deleted_s <= *pod.scheduled_s) {
    ++trace.never_ran;
  } else if (*pod.created_s < from_s) {
    ++trace.too_early;
  } else {
    return true;
  }
  return false;
}

// Such that the work takes `offered_pct` of what the cards can do while it comes.
int64_t PaceFor(const std::vector<const TracePod*>& pods, size_t cards, int offered_pct) {
  int64_t work = 0;
  int64_t first = INT64_MAX;
  int64_t last = INT64_MIN;
  for (const TracePod* pod : pods) {
    work += WorkOf(*pod);
    first = std::min(first, *pod->created_s);
    last = std::max(last, *pod->created_s);
  }
  if (work <= 0 || last <= first) return 100;
  const double at_own_pace = static_cast<double>(work) / static_cast<double>(kCardMilli) /
                             static_cast<double>(cards) / static_cast<double>(last - first);
  return std::max<int64_t>(1, static_cast<int64_t>(offered_pct / at_own_pace));
}

}  // namespace

std::vector<Gpu> CardsOf(const std::vector<TraceNode>& nodes, Bytes card) {
  std::vector<Gpu> cards;
  for (const TraceNode& node : nodes) {
    for (int i = 0; i < node.gpus; ++i) {
      cards.push_back({.id = GpuId(fmt::format("{}/{}", node.name, i)),
                       .node = NodeId(node.name),
                       .index = i,
                       .model = node.model,
                       .memory = card});
    }
  }
  return cards;
}

TimedTrace MakeTimedTrace(const std::vector<TraceNode>& nodes,
                          const std::vector<TracePod>& pods,
                          const TimedTraceOptions& options) {
  TimedTrace trace;
  std::vector<TraceNode> kept;
  for (size_t i = 0; i < nodes.size(); i += static_cast<size_t>(std::max(options.every_node, 1))) {
    kept.push_back(nodes[i]);
  }
  trace.nodes = kept.size();
  trace.fleet = CardsOf(kept, options.card);
  std::vector<const TracePod*> played;
  for (const TracePod& pod : pods) {
    if (Takes(pod, options.from_s, trace)) played.push_back(&pod);
  }
  trace.pace_pct = options.pace_pct > 0 ? options.pace_pct
                                        : PaceFor(played, trace.fleet.size(), options.offered_pct);
  SeededRandom random(options.movable_seed);
  for (const TracePod* pod : played) {
    const int64_t after_s = *pod->created_s - options.from_s;
    trace.claims.push_back(
        {.id = ClaimId(fmt::format("{:09}", trace.claims.size())),
         .request = RequestOf(*pod, options.card),
         .team = {},
         .kind = pod->qos + ", " + SizeOf(*pod),
         .size = SizeOf(*pod),
         .arrives = TimePoint(Duration(1 + after_s * 100'000 / trace.pace_pct)),
         .runs = Duration((*pod->deleted_s - *pod->scheduled_s) * 1000),
         .movable = random.Next() % 100 < static_cast<uint64_t>(options.movable_pct)});
  }
  return trace;
}

}  // namespace sluice::sim
