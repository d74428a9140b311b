// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <mutex>

#include "portal/internal/handlers.h"
#include "portal/internal/request_fields.h"

namespace sluice::portal {
namespace {

constexpr int64_t kShareMax = int64_t{1} << 40;
constexpr int64_t kIdleMaxS = 31'536'000;
constexpr double kPriceMax = 1e6;
constexpr size_t kFleetTextMax = 500;
constexpr size_t kPolicyTextMax = 40;
constexpr int64_t kBusyRetryS = 5;

OrProblem<std::string> QueryText(const net::Request& request, std::string_view name, size_t most) {
  const auto found = std::ranges::find(
      request.query, name, [](const auto& pair) -> std::string_view { return pair.first; });
  if (found == request.query.end()) return std::string();
  if (found->second.size() > most) {
    return NoField(ProblemCode::kBadRequest,
                   "?" + std::string(name),
                   std::string(name) + " is longer than can be read.");
  }
  return found->second;
}

OrProblem<double> QueryPrice(const net::Request& request) {
  const auto text = QueryText(request, "price", 40);
  if (!text) return tl::unexpected(text.error());
  if (text->empty()) return 0.0;
  double price = 0;
  const char* const end = text->data() + text->size();
  const auto [at, error] = std::from_chars(text->data(), end, price);
  if (error != std::errc() || at != end || !(price >= 0 && price <= kPriceMax)) {
    return NoField(ProblemCode::kBadRequest, "?price", "price is a number from 0 to 1000000.");
  }
  return price;
}

OrProblem<PlanQuestion> QuestionOf(const net::Request& request) {
  const auto fleet = QueryText(request, "fleet", kFleetTextMax);
  const auto policy = QueryText(request, "policy", kPolicyTextMax);
  const auto overcommit = QueryInt(request, "overcommit_pct", {100, 1000}, 0);
  const auto preempt = QueryText(request, "preempt", kPolicyTextMax);
  const auto share = QueryInt(request, "share_bytes", {1, kShareMax}, 0);
  const auto idle = QueryInt(request, "idle_s", {0, kIdleMaxS}, -1);
  const auto price = QueryPrice(request);
  const auto growth = QueryInt(request, "growth_pct", {1, 1000}, 100);
  const auto synthetic = QueryBool(request, "synthetic", false);
  if (!fleet) return tl::unexpected(fleet.error());
  if (!policy) return tl::unexpected(policy.error());
  if (!overcommit) return tl::unexpected(overcommit.error());
  if (!preempt) return tl::unexpected(preempt.error());
  if (!share) return tl::unexpected(share.error());
  if (!idle) return tl::unexpected(idle.error());
  if (!price) return tl::unexpected(price.error());
  if (!growth) return tl::unexpected(growth.error());
  if (!synthetic) return tl::unexpected(synthetic.error());
  PlanQuestion question{.fleet = *fleet,
                        .share = Bytes(*share),
                        .policy = *policy,
                        .overcommit_pct = static_cast<int>(*overcommit),
                        .preempt = *preempt,
                        .price = *price,
                        .growth_pct = static_cast<int>(*growth),
                        .synthetic = *synthetic};
  if (*idle >= 0) question.idle = Duration(*idle * 1000);
  return question;
}

}  // namespace

Answer GetPlan(App& app, const Call& call) {
  const auto question = QuestionOf(call.request);
  if (!question) return tl::unexpected(question.error());
  if (!app.plan) return No(ProblemCode::kUnavailable, "There is no planner here.");
  const std::unique_lock alone(app.plan_gate, std::try_to_lock);
  if (!alone) {
    return No(Problem{.code = ProblemCode::kUnavailable,
                      .detail = "The planner works on another question.",
                      .retry_after_s = kBusyRetryS});
  }
  auto plan = app.plan(*question);
  if (plan) return JsonResponse(200, std::move(*plan));
  if (plan.error().code != Code::kInvalidArgument) return No(plan.error());
  return No(ProblemCode::kInvalidField, plan.error().message + ".");
}

}  // namespace sluice::portal
