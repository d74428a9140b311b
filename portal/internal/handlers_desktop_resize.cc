// SPDX-License-Identifier: Apache-2.0
// Another share for a desktop: at once where it holds one, else from its next start.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "portal/internal/desktop_rules.h"
#include "portal/internal/handlers.h"
#include "portal/internal/json_body.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

constexpr int64_t kMemoryMax = int64_t{1} << 50;

OrProblem<ClaimRequest> ReadShare(const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({"memory_bytes"});
  ClaimRequest share;
  share.memory = Bytes(fields.Int("memory_bytes", {1, kMemoryMax}).value_or(0));
  ReadCompute(fields, share);
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  return share;
}

OrProblem<void> ResizeHeld(App& app, const Desktop& desktop) {
  if (desktop.claim.text().empty()) return {};
  const auto done = app.control.Resize(desktop.claim, desktop.request);
  if (done || done.error().code == Code::kNotFound) return {};
  const std::string said = fmt::format("The share stays as it is: {}.", done.error().message);
  switch (done.error().code) {
    case Code::kInvalidArgument:
      // Stopped, or failed: its claim has ended, and the wish counts from the next start.
      if (!IsRunning(desktop.state) && desktop.state != DesktopState::kQueued) return {};
      return No(ProblemCode::kStateConflict, said);
    case Code::kFailedPrecondition:
      return No(ProblemCode::kShareInUse, said);
    case Code::kResourceExhausted:
      return No(ProblemCode::kStateConflict, said);
    default:
      return No(done.error());
  }
}

}  // namespace

Answer ResizeDesktop(App& app, const Call& call) {
  const auto share = ReadShare(call);
  if (!share) return tl::unexpected(share.error());
  const std::lock_guard gate(app.quota_gate);
  // Of the last try: what to go back to when the desktop's row could not be written.
  ClaimId claim;
  ClaimRequest before;
  bool resized = false;
  const auto change = [&](Desktop& desktop) -> OrProblem<void> {
    ClaimRequest& request = desktop.request;
    claim = desktop.claim;
    before = request;
    request.memory = share->memory;
    request.guarantee = share->guarantee;
    request.guarantee_by_memory = share->guarantee_by_memory;
    request.cap = share->cap;
    if (auto good = CheckShare(app, request, ""); !good) return good;
    const auto owner = app.objects.Get<User>(desktop.owner.text());
    if (!owner) return No(owner.error());
    if (desktop.desired == DesiredState::kRunning) {
      if (auto may = CheckQuota(app, (*owner)->value, request, desktop.id); !may) return may;
    }
    auto done = ResizeHeld(app, desktop);
    resized = done.has_value() && !claim.empty();
    return done;
  };
  const auto desktop =
      ChangeDesktop(app, call, {"desktop.resize", call.id, "ok", ShareText(*share)}, change);
  if (!desktop) {
    if (resized) (void)app.control.Resize(claim, before);
    return tl::unexpected(desktop.error());
  }
  return JsonResponse(200, View(app).Json(*desktop), desktop->version);
}

}  // namespace sluice::portal
