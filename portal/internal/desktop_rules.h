// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/pool.h"
#include "model/template.h"
#include "portal/internal/app.h"
#include "portal/internal/json_body.h"

namespace sluice::portal {

// The templates: those of the store, and the built-in ones that it does not replace. By id.
struct KnownTemplate {
  Template value;
  uint64_t version = 0;  // 0: built in.
};
Result<std::vector<KnownTemplate>> Templates(App& app);

// Programs of the template that PATH does not have.
std::vector<HostProgram> MissingPrograms(const Template& value);

// The rules of the pool that desktops are placed in.
Pool SharedPool(App& app);

// guarantee_percent (null or absent: by memory) and cap_percent of a request for a share.
void ReadCompute(FieldReader& fields, ClaimRequest& request);

// priority of a request for a share, -100 to 100; absent: 0.
void ReadPriority(FieldReader& fields, ClaimRequest& request);
// Only operators go before others. Fails with kForbidden.
OrProblem<void> CheckPriority(const Call& call, const ClaimRequest& request);

// Whether some card could ever give this share. Fails with kNoSuchGpu, kOverShareLimit (with what
// could be asked instead) or kInvalidField below the pool's least share.
OrProblem<void> CheckShare(App& app, const ClaimRequest& request, std::string_view pointer);

// Whether the user may hold this desktop's request besides what he has. `but` is not counted.
// Requires: app.quota_gate is held until the wish is committed.
OrProblem<void> CheckQuota(App& app,
                           const User& user,
                           const ClaimRequest& request,
                           const DesktopId& but);

// The desktop, if the caller may see it: his own, or anybody's for operators. Fails with kNotFound
// in both cases, so that ids cannot be probed.
OrProblem<Stored<Desktop>> VisibleDesktop(App& app, const Call& call);

// Reads the desktop, lets `change` alter it, and commits it with its audit row; again when control
// was faster. The answer is the changed desktop.
using DesktopChange = std::function<OrProblem<void>(Desktop&)>;
OrProblem<store::Versioned<Desktop>> ChangeDesktop(App& app,
                                                   const Call& call,
                                                   const control::AuditNote& note,
                                                   const DesktopChange& change);

// The same with writes that belong to it.
using DesktopChangeBeside = std::function<OrProblem<std::vector<store::Write>>(Desktop&)>;
OrProblem<store::Versioned<Desktop>> ChangeDesktopBeside(App& app,
                                                         const Call& call,
                                                         const control::AuditNote& note,
                                                         const DesktopChangeBeside& change);

// "8 GiB on NVIDIA L4, 30% guaranteed."
std::string ShareText(const ClaimRequest& share);

// The name for the audit row when somebody acts on another's desktop; else empty.
std::string OnBehalfOf(App& app, const Call& call, const UserId& owner);

}  // namespace sluice::portal
