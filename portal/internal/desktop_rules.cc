// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/desktop_rules.h"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <unistd.h>
#include <utility>

#include "portal/internal/request_fields.h"
#include "portal/internal/routes.h"

namespace sluice::portal {
namespace {

constexpr int kCommitTries = 8;
constexpr int64_t kPriorityMax = 100;

bool InPath(const std::string& program) {
  const char* variable = std::getenv("PATH");
  std::string_view path = variable == nullptr ? "/usr/local/bin:/usr/bin:/bin" : variable;
  while (true) {
    const size_t colon = path.find(':');
    const std::string folder(path.substr(0, colon));
    if (!folder.empty() && ::access((folder + "/" + program).c_str(), X_OK) == 0) return true;
    if (colon == std::string_view::npos) return false;
    path.remove_prefix(colon + 1);
  }
}

// An operator may look, message and stop (routes of his own); the rest is its user's or an admin's.
OrProblem<void> CheckMayChange(const Call& call, const Desktop& desktop) {
  if (desktop.owner == call.caller.user.id || call.caller.Is(Role::kAdmin)) return {};
  if (call.route.access >= Access::kOperator) return {};
  return No(ProblemCode::kForbidden, "Only its user or an admin may change this desktop.");
}

}  // namespace

Result<std::vector<KnownTemplate>> Templates(App& app) {
  const auto stored = app.objects.List<Template>();
  if (!stored) return Fail(stored.error());
  std::vector<KnownTemplate> all;
  for (const auto& one : stored->objects) all.push_back({one->value, one->version});
  for (Template& built_in : BuiltInTemplates()) {
    const bool replaced = std::ranges::any_of(
        all, [&](const KnownTemplate& one) { return one.value.id == built_in.id; });
    if (!replaced) all.push_back({std::move(built_in), 0});
  }
  std::ranges::sort(all, {}, [](const KnownTemplate& one) { return one.value.id.text(); });
  return all;
}

std::vector<HostProgram> MissingPrograms(const Template& value) {
  std::vector<HostProgram> missing;
  for (const HostProgram& program : value.needs) {
    if (!InPath(program.name)) missing.push_back(program);
  }
  return missing;
}

Pool SharedPool(App& app) {
  const auto pools = app.objects.List<Pool>("", 1);
  if (pools && !pools->objects.empty()) return pools->objects.front()->value;
  return Pool{};
}

void ReadCompute(FieldReader& fields, ClaimRequest& request) {
  std::optional<int64_t> guarantee;
  if (!fields.TakeNull("guarantee_percent")) {
    guarantee = fields.Int("guarantee_percent", {0, 100});
  }
  request.guarantee = ComputeMillis(10 * guarantee.value_or(0));
  request.guarantee_by_memory = !guarantee;
  request.cap = ComputeMillis(10 * fields.Int("cap_percent", {0, 100}).value_or(0));
  if (request.cap.value() > 0 && request.cap < request.guarantee) {
    fields.Reject("cap_percent", "range", "must not be below guarantee_percent");
  }
}

void ReadPriority(FieldReader& fields, ClaimRequest& request) {
  request.priority =
      static_cast<int>(fields.Int("priority", {-kPriorityMax, kPriorityMax}).value_or(0));
}

OrProblem<void> CheckPriority(const Call& call, const ClaimRequest& request) {
  if (request.priority <= 0 || call.caller.Is(Role::kOperator)) return {};
  return No(ProblemCode::kForbidden, "Only operators may ask for a priority above 0.");
}

OrProblem<void> CheckShare(App& app, const ClaimRequest& request, std::string_view pointer) {
  const Pool pool = SharedPool(app);
  const std::string at(pointer);
  if (request.memory < pool.share_memory_min) {
    return NoField(ProblemCode::kInvalidField, at + "/memory_bytes", WhyTooSmall(pool));
  }
  const auto offers = app.control.Offers({.memory = request.memory});
  if (offers.empty()) {
    return NoField(ProblemCode::kNoSuchGpu, at, "This Sluice has no card that gives shares.");
  }
  Problem problem{.code = ProblemCode::kOverShareLimit};
  Bytes largest;
  bool model_known = request.gpu_model.empty();
  for (const control::Offer& offer : offers) {
    // The answer that this much would get, not the answer to what was asked.
    const bool now = offer.largest_now >= offer.largest_ever;
    problem.alternatives.push_back(
        {offer.gpu_model, offer.largest_ever, now ? "starts now" : "waits"});
    if (!request.gpu_model.empty() && offer.gpu_model != request.gpu_model) continue;
    model_known = true;
    largest = std::max(largest, offer.largest_ever);
  }
  if (!model_known) {
    problem.code = ProblemCode::kNoSuchGpu;
    problem.detail = fmt::format("There is no card of the model \"{}\".", request.gpu_model);
    problem.errors.push_back({at + "/model", "no_such_gpu", problem.detail});
    return No(std::move(problem));
  }
  if (request.memory <= largest) return {};
  problem.detail = fmt::format("{} fits no card; the largest share that could be given is {}.",
                               ToText(request.memory),
                               ToText(largest));
  problem.errors.push_back({at + "/memory_bytes", "over_share_limit", problem.detail});
  if (const auto why = app.control.Explain({.request = request})) problem.summary = why->summary;
  return No(std::move(problem));
}

namespace {

// What it wishes or what it holds, whichever is more: a resize changes them one after the other.
Bytes MemoryOf(App& app, const Desktop& desktop) {
  Bytes held;
  const auto claim = app.objects.Get<Claim>(desktop.claim.text());
  if (claim) {
    for (const Allocation& allocation : (*claim)->value.allocations) held += allocation.memory;
  }
  return std::max(held, desktop.request.memory);
}

}  // namespace

OrProblem<void> CheckQuota(App& app,
                           const User& user,
                           const ClaimRequest& request,
                           const DesktopId& but) {
  if (user.quota == Quota()) return {};
  const auto desktops = app.objects.List<Desktop>();
  if (!desktops) return No(desktops.error());
  int count = 1;
  Bytes memory = request.memory;
  for (const auto& stored : desktops->objects) {
    const Desktop& desktop = stored->value;
    if (desktop.owner != user.id || desktop.id == but) continue;
    if (desktop.desired == DesiredState::kDeleted) continue;
    ++count;
    if (desktop.desired == DesiredState::kRunning) memory += MemoryOf(app, desktop);
  }
  if (user.quota.desktops_max > 0 && count > user.quota.desktops_max) {
    return No(ProblemCode::kQuotaExceeded,
              fmt::format("You may have {} desktops, and you have them. Delete one first.",
                          user.quota.desktops_max));
  }
  if (user.quota.gpu_memory_max.value() > 0 && memory > user.quota.gpu_memory_max) {
    return No(ProblemCode::kQuotaExceeded,
              fmt::format("That would be {} of GPU memory; you may hold {} at once.",
                          ToText(memory),
                          ToText(user.quota.gpu_memory_max)));
  }
  return {};
}

OrProblem<Stored<Desktop>> VisibleDesktop(App& app, const Call& call) {
  auto desktop = app.objects.Get<Desktop>(call.id);
  const bool visible =
      desktop && (call.caller.SeesAll() || (*desktop)->value.owner == call.caller.user.id);
  if (visible) return std::move(*desktop);
  if (!desktop && desktop.error().code != Code::kNotFound) return No(desktop.error());
  return No(ProblemCode::kNotFound, fmt::format("There is no desktop {}.", call.id));
}

std::string OnBehalfOf(App& app, const Call& call, const UserId& owner) {
  if (owner == call.caller.user.id) return "";
  const auto user = app.objects.Get<User>(owner.text());
  return user ? (*user)->value.name : owner.text();
}

std::string ShareText(const ClaimRequest& share) {
  std::string text = ToText(share.memory);
  if (!share.gpu_model.empty()) text += " on " + share.gpu_model;
  if (!share.guarantee_by_memory) {
    text += fmt::format(", {}% guaranteed", share.guarantee.value() / 10);
  }
  if (share.cap > ComputeMillis(0)) text += fmt::format(", at most {}%", share.cap.value() / 10);
  return text + ".";
}

OrProblem<store::Versioned<Desktop>> ChangeDesktop(App& app,
                                                   const Call& call,
                                                   const control::AuditNote& note,
                                                   const DesktopChange& change) {
  const auto alone = [&](Desktop& desktop) -> OrProblem<std::vector<store::Write>> {
    if (auto good = change(desktop); !good) return tl::unexpected(good.error());
    return std::vector<store::Write>();
  };
  return ChangeDesktopBeside(app, call, note, alone);
}

OrProblem<store::Versioned<Desktop>> ChangeDesktopBeside(App& app,
                                                         const Call& call,
                                                         const control::AuditNote& note,
                                                         const DesktopChangeBeside& change) {
  const bool has_if_match = call.request.headers.Has("If-Match");
  for (int left = kCommitTries;; --left) {
    const auto stored = VisibleDesktop(app, call);
    if (!stored) return tl::unexpected(stored.error());
    if (auto may = CheckMayChange(call, (*stored)->value); !may) return tl::unexpected(may.error());
    if (has_if_match) {
      const auto wanted = IfMatch(call.request);
      if (!wanted) return tl::unexpected(wanted.error());
      if (auto same = CheckVersion(*wanted, (*stored)->version); !same) {
        return tl::unexpected(same.error());
      }
    }
    store::Versioned<Desktop> desktop = **stored;
    if (desktop.value.desired == DesiredState::kDeleted) {
      return No(ProblemCode::kStateConflict, "The desktop is being deleted.");
    }
    auto writes = change(desktop.value);
    if (!writes) return tl::unexpected(writes.error());
    writes->push_back(store::Put(desktop.value, desktop.version));
    const auto revision =
        app.Commit(call, std::move(*writes), note, OnBehalfOf(app, call, desktop.value.owner));
    if (revision) {
      desktop.version = *revision;
      return desktop;
    }
    // With If-Match the next look says whether it is the desktop that is another one.
    const bool again = revision.error().code == Code::kAborted && left > 1;
    if (!again) return No(revision.error());
  }
}

}  // namespace sluice::portal
