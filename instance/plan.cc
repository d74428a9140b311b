// SPDX-License-Identifier: Apache-2.0
#include "instance/plan.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "sim/plan.h"
#include "sim/plan_report.h"
#include "store/codec.h"

namespace sluice::instance {
namespace {

// Some ten seconds of one core at most.
constexpr int64_t kLooksMax = 100'000'000;

template <typename T>
Result<std::vector<T>> ValuesOf(store::Store& store) {
  auto rows = store::ReadAll<T>(store);
  if (!rows) return Fail(rows.error());
  std::vector<T> values;
  values.reserve(rows->size());
  for (auto& row : *rows) values.push_back(std::move(row.value));
  return values;
}

// Those there are, and those that are over.
Result<std::vector<Reservation>> ReservationsOf(store::Store& store) {
  auto all = ValuesOf<Reservation>(store);
  if (!all) return all;
  const auto past = store.List(store::Kind::kPastReservation, "", 0);
  if (!past) return Fail(past.error());
  for (const store::Object& row : past->objects) {
    auto one = store::Decode<Reservation>(row.body);
    if (!one) return Fail(one.error());
    all->push_back(std::move(*one));
  }
  return all;
}

}  // namespace

Result<std::string> AnswerPlan(store::Store& store, const portal::PlanQuestion& question) {
  const auto past = ValuesOf<PastClaim>(store);
  if (!past) return Fail(past.error());
  const auto gpus = ValuesOf<Gpu>(store);
  if (!gpus) return Fail(gpus.error());
  const auto teams = ValuesOf<Team>(store);
  if (!teams) return Fail(teams.error());
  const auto pools = ValuesOf<Pool>(store);
  if (!pools) return Fail(pools.error());
  const auto reservations = ReservationsOf(store);
  if (!reservations) return Fail(reservations.error());
  sim::PlanQuestion asked{.fleet = question.fleet,
                          .share = question.share,
                          .idle = question.idle,
                          .price = question.price,
                          .growth_pct = question.growth_pct,
                          .synthetic = question.synthetic,
                          .looks_max = kLooksMax};
  if (!question.policy.empty()) {
    asked.policy = ParsePlacementPolicy(question.policy);
    if (!asked.policy) {
      return Fail(Code::kInvalidArgument, "there is no policy \"" + question.policy + "\"");
    }
  }
  if (question.overcommit_pct > 0) asked.overcommit_pct = question.overcommit_pct;
  if (!question.preempt.empty()) {
    asked.preempt = ParsePreemptRule(question.preempt);
    if (!asked.preempt) {
      return Fail(Code::kInvalidArgument,
                  "there is no rule \"" + question.preempt +
                      "\" for who gives way: take never, borrowed or lower_priority");
    }
  }
  sim::PlanInput input{.past = *past,
                       .gpus = *gpus,
                       .teams = *teams,
                       .pools = *pools,
                       .reservations = *reservations};
  if (!pools->empty()) {
    const Pool& pool = pools->front();
    input.placement.policy = pool.placement;
    input.placement.bounds = {.floor = pool.floor_cards, .ceiling = pool.ceiling_cards};
  }
  const auto answer = sim::Plan(input, asked, {});
  if (!answer) return Fail(answer.error());
  return ToJson(*answer).dump();
}

}  // namespace sluice::instance
