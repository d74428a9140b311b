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
#include "scheduler/scheduler.h"

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

  // How many of them have held cards.
  size_t ran() const { return runs_.size(); }
  // What they asked for and how often, the `kinds_max` most frequent. Priority and named cards are
  // left out: they are about one time, not about what is to be expected.
  std::vector<scheduler::ExpectedRequest> Asked(size_t kinds_max) const;

 private:
  struct Run {
    std::string kind;
    Duration lasted;
    ClaimRequest request;
  };
  std::set<ClaimId> ids_;
  std::map<ClaimId, Run> runs_;  // By id, which is by time.
};

// Claims of one kind run about as long: desktops of one template, or commands.
std::string KindOfRun(ClaimOwner owner, const TemplateId& template_id);

}  // namespace sluice::control
