// SPDX-License-Identifier: Apache-2.0
// The controller's queue: who is placed now, what those who wait are told, and what is offered.
#include <utility>

#include "base/log.h"
#include "control/internal/controller.h"
#include "control/internal/explain_steps.h"

namespace sluice::control {
namespace {

constexpr Duration kRangesEvery{5'000};
constexpr Duration kHistoryEvery{30'000};

}  // namespace

int Controller::StepQueue() {
  // Before the agent's first answer "no card can ever give this" would be a guess.
  if (!agent_known_) return 0;
  int steps = 0;
  for (;;) {
    const QueueRows rows = QueueRowsNow();
    QueueOutcome outcome = WalkTheQueue(follower_.world(), rows);
    PublishQueue(std::move(outcome.places), rows);
    bool again = false;
    for (const QueueStep& step : outcome.steps) {
      if (!Commit(step.writes, "claim " + step.claim.text())) return steps + 1;
      ++steps;
      if (step.placed) {
        Note("claim.reserve", step.claim.text(), step.note);
        again = true;
      }
      if (step.refused) Note("claim.refuse", step.claim.text(), step.note);
    }
    if (!again) return steps;
  }
}

// How long claims run is looked at anew every few seconds: it is much to read and changes little.
QueueRows Controller::QueueRowsNow() {
  const TimePoint now = partners_.clock.Now();
  const Duration steady = partners_.clock.Steady();
  if (history_ == nullptr || steady - history_drawn_ >= kHistoryEvery) {
    history_ = HistoryOf(follower_.world(), now);
    history_drawn_ = steady;
  }
  return QueueRowsOf(follower_.world(), now, history_, PlacementNow());
}

// The places in the queue, and when it is likely to move: drawn anew when something started, ended
// or came, and every few seconds.
void Controller::PublishQueue(std::map<ClaimId, QueuePlace> places, const QueueRows& rows) {
  const Duration steady = partners_.clock.Steady();
  const std::pair seen(rows.waiting.size(), rows.holders.size());
  if (rows.waiting.empty()) {
    ranges_.clear();
  } else if (seen != ranges_seen_ || steady - ranges_drawn_ >= kRangesEvery) {
    ranges_ = StartRanges(rows);
    ranges_drawn_ = steady;
    summaries_.clear();
    for (const scheduler::Waiting& one : rows.waiting) {
      summaries_[one.id] = SummaryIn(rows.snapshot, one.request);
    }
  }
  ranges_seen_ = seen;
  for (auto& [id, place] : places) {
    const auto range = ranges_.find(id);
    if (range != ranges_.end() && !place.over_quota) place.start = range->second;
    const auto summary = summaries_.find(id);
    if (summary != summaries_.end()) place.summary = summary->second;
  }
  places_.With([&](auto& published) { published = std::move(places); });
}

// ---- called from any thread ----

std::optional<QueuePlace> Controller::PlaceInQueue(const ClaimId& claim) {
  return places_.With([&](const auto& places) -> std::optional<QueuePlace> {
    const auto found = places.find(claim);
    if (found == places.end()) return std::nullopt;
    return found->second;
  });
}

std::vector<Offer> Controller::Offers(const OfferQuestion& question) {
  // From the rows as they are, not as the logic thread saw them last: whoever was told that there
  // is room and has asked for it is in the queue for the next one.
  auto rows = asked_.With([&](WorldFollower& follower) -> Result<QueueRows> {
    if (const auto seen = follower.Refresh(); !seen) return Fail(seen.error());
    const auto plan = shown_placement_.With([](const auto& shown) { return shown; });
    return QueueRowsOf(follower.world(), partners_.clock.Now(), nullptr, plan ? &*plan : nullptr);
  });
  if (rows) return OffersFor(*rows, question);
  Log(LogLevel::kWarning, "the store cannot be read for an offer: {}", rows.error().message);
  return {};
}

}  // namespace sluice::control
