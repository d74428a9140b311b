// SPDX-License-Identifier: Apache-2.0
#include "control/internal/explain_steps.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <utility>
#include <variant>

namespace sluice::control {
namespace {

using scheduler::QueueAnswer;

constexpr Bytes kStep{int64_t{256} << 20};
// A walk costs as much as the queue is long; a proposal is worth so many.
constexpr size_t kWaitingMax = 64;

// The queue with this request in the claim's place, or behind all others.
class Question {
 public:
  Question(QueueRows rows, const ExplainQuestion& question)
      : rows_(std::move(rows)), question_(question) {
    const auto mine = std::ranges::find(rows_.waiting, question.claim, &scheduler::Waiting::id);
    if (mine != rows_.waiting.end()) {
      at_ = static_cast<size_t>(mine - rows_.waiting.begin());
      since_ = mine->queued_since;
      return;
    }
    at_ = rows_.waiting.size();
    rows_.waiting.push_back({.id = ClaimId("asked"),
                             .request = question.request,
                             .queued_since = TimePoint::max(),
                             .team = question.team});
  }

  size_t waiting() const { return rows_.waiting.size(); }
  bool KeepsPlace(const ClaimRequest& request) const {
    return AsksNoMore(question_.request, request);
  }

  QueueAnswer Answer(const ClaimRequest& request) {
    scheduler::Waiting& mine = rows_.waiting[at_];
    mine.request = request;
    // It would stand where AskInstead puts it.
    mine.queued_since = !since_ ? TimePoint::max() : KeepsPlace(request) ? *since_ : rows_.now;
    for (QueueAnswer& answer : scheduler::WalkQueue(rows_.Input())) {
      if (answer.id == mine.id) return std::move(answer);
    }
    return {.id = mine.id, .decision = scheduler::WaitFor{}};
  }
  bool Placed(const ClaimRequest& request) {
    return std::holds_alternative<scheduler::Placed>(Answer(request).decision);
  }

 private:
  QueueRows rows_;
  const ExplainQuestion& question_;
  size_t at_ = 0;
  std::optional<TimePoint> since_;
};

// The largest share of less memory that would be placed now, in steps.
std::optional<ClaimRequest> LessMemory(Question& queue,
                                       const ClaimRequest& request,
                                       Bytes smallest) {
  if (request.whole) return std::nullopt;
  ClaimRequest less = request;
  const auto of = [&](int64_t steps) {
    less.memory = smallest + Bytes(steps * kStep.value());
    return less;
  };
  int64_t placed = -1;
  int64_t not_placed = (request.memory - smallest + kStep - Bytes(1)).value() / kStep.value();
  if (not_placed <= 0 || !queue.Placed(of(0))) return std::nullopt;
  placed = 0;
  while (not_placed - placed > 1) {
    const int64_t middle = (placed + not_placed) / 2;
    (queue.Placed(of(middle)) ? placed : not_placed) = middle;
  }
  return of(placed);
}

// The core's alternative as a request like `request`.
ClaimRequest RequestOf(const ClaimRequest& request, const scheduler::Demand& demand) {
  ClaimRequest other = request;
  other.count = demand.count;
  other.guarantee = demand.guarantee;
  other.vendor = demand.vendor;
  other.gpu_model = demand.models.empty() ? "" : demand.models.front();
  return other;
}

std::vector<CardAnswer> CardAnswers(const scheduler::Snapshot& snapshot,
                                    const ClaimRequest& request) {
  std::vector<CardAnswer> answers;
  for (const auto& [id, verdict] : scheduler::JudgeCards(snapshot, request)) {
    const auto gpu = std::ranges::find(snapshot.gpus, id, &Gpu::id);
    answers.push_back({.gpu = gpu->id,
                       .node = gpu->node,
                       .index = gpu->index,
                       .model = gpu->model,
                       .simulated = gpu->simulated,
                       .fits = verdict.check == scheduler::Check::kNone,
                       .words = scheduler::ToWords(verdict)});
  }
  return answers;
}

void TakeAnswer(const QueueAnswer& answer, Explained& explained) {
  if (std::holds_alternative<scheduler::Placed>(answer.decision)) {
    explained.answer = Explained::Answer::kNow;
  } else if (const auto* never = std::get_if<scheduler::Never>(&answer.decision)) {
    explained.answer = Explained::Answer::kNever;
    explained.reason = never->reason;
  } else {
    explained.answer =
        answer.over_quota ? Explained::Answer::kOverQuota : Explained::Answer::kWaits;
    explained.reason = std::get<scheduler::WaitFor>(answer.decision).reason;
  }
}

}  // namespace

std::string SummaryIn(const scheduler::Snapshot& snapshot, const ClaimRequest& request) {
  return scheduler::ToWords(scheduler::Explain(snapshot, request), scheduler::ToDemand(request));
}

Explained ExplainIn(const QueueRows& rows, const ExplainQuestion& question, Bytes smallest) {
  const ClaimRequest& request = question.request;
  Explained explained;
  Question queue(rows, question);
  TakeAnswer(queue.Answer(request), explained);
  const scheduler::Explanation why = scheduler::Explain(rows.snapshot, request);
  explained.summary = scheduler::ToWords(why, scheduler::ToDemand(request));
  explained.cards = CardAnswers(rows.snapshot, request);
  if (explained.answer == Explained::Answer::kNow || request.count < 1) return explained;
  const auto propose = [&](const ClaimRequest& other, std::string words) {
    explained.alternatives.push_back(
        {.request = other, .words = std::move(words), .keeps_place = queue.KeepsPlace(other)});
  };
  if (queue.waiting() <= kWaitingMax) {
    if (const auto less = LessMemory(queue, request, smallest)) {
      propose(*less, ToText(less->memory));
    }
  }
  for (const scheduler::Alternative& other : why.alternatives) {
    if (other.demand.memory != request.memory) continue;
    const ClaimRequest instead = RequestOf(request, other.demand);
    if (instead == request || !queue.Placed(instead)) continue;
    propose(instead, other.words);
  }
  return explained;
}

}  // namespace sluice::control
