// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "model/claim.h"
#include "scheduler/estimate.h"

namespace sluice::control {

// The past claims that are kept, and how long the latest held their cards. One thread at a time.
class PastRuns {
 public:
  void Add(const PastClaim& past);
  void Remove(const ClaimId& id);
  // The oldest ones beyond `kept`, at most `count_max`.
  std::vector<ClaimId> Beyond(size_t kept, size_t count_max) const;

  // With the claims that still run, `now` being later than all of them.
  struct Running {
    std::string kind;
    TimePoint since;
  };
  scheduler::RunHistory HistoryWith(const std::vector<Running>& running, TimePoint now) const;

 private:
  struct Run {
    std::string kind;
    Duration lasted;
  };
  std::set<ClaimId> ids_;
  std::map<ClaimId, Run> runs_;  // By id, which is by time.
};

// Claims of one kind run about as long: desktops of one template, or commands.
std::string KindOfRun(ClaimOwner owner, const TemplateId& template_id);

}  // namespace sluice::control
