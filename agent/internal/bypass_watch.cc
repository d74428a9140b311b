// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/bypass_watch.h"

#include <algorithm>
#include <csignal>
#include <poll.h>
#include <set>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

#include "agent/internal/process_look.h"
#include "base/log.h"

namespace sluice::agent {
namespace {

// What was so once may have been a process on its way in or out; of one with a slot, an allocation
// that was freed between the driver's answer and the ledger's. Fewer: honest programs are taken for
// others. More: others are found later.
constexpr int kLooks = 2;
constexpr int kLooksKnown = 10;
// One share must not use up this process's descriptors.
constexpr size_t kSuspectsMax = 64;

// What of it the ledger should show and does not; 0: nothing to be said.
Bytes UnseenOf(const Holding& holding, Bytes slack) {
  if (!holding.known) return holding.real;
  const Bytes unseen = holding.real > holding.ledger ? holding.real - holding.ledger : Bytes(0);
  return unseen > slack ? unseen : Bytes(0);
}

bool Signal(const File& process, int number) {
  return syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0) == 0;
}

}  // namespace

bool BypassWatch::HasEnded(const Suspect& suspect) {
  pollfd wait = {suspect.process.get(), POLLIN, 0};
  return poll(&wait, 1, 0) > 0;
}

bool BypassWatch::Open(Suspect& suspect, const Belongs& belongs) const {
  const int64_t pid = suspect.last.host_pid;
  suspect.process = File(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  // Looked up after the descriptor was opened, and alive after that: the very same process.
  return suspect.process && belongs(pid) && !HasEnded(suspect);
}

BypassStep BypassWatch::Apply(Suspect& suspect, BypassRule rule, Duration now) {
  suspect.last.rule = rule;
  suspect.dealt = true;
  switch (rule) {
    case BypassRule::kWarn:
      return BypassStep::kWarned;
    case BypassRule::kThrottle:
      return BypassStep::kThrottled;
    case BypassRule::kEnd:
      break;
  }
  suspect.asked_at = now;
  if (!Signal(suspect.process, SIGTERM)) {
    Log(LogLevel::kWarning, "process {} cannot be asked to end", suspect.last.host_pid);
  }
  return BypassStep::kAsked;
}

std::vector<Bypass> BypassWatch::Look(const std::vector<Holding>& seen,
                                      const ShareRules& rules,
                                      Duration now,
                                      const Belongs& belongs) {
  std::vector<Bypass> news;
  const auto tell = [&news](Suspect& suspect, BypassStep step) {
    suspect.last.step = step;
    news.push_back(suspect.last);
  };
  std::set<int64_t> found;
  for (const Holding& holding : seen) {
    const Bytes unseen = UnseenOf(holding, rules.bypass_slack);
    if (unseen <= Bytes(0)) continue;
    auto at = suspects_.find(holding.host_pid);
    if (at == suspects_.end()) {
      if (suspects_.size() >= kSuspectsMax) continue;
      at = suspects_.emplace(holding.host_pid, Suspect()).first;
      at->second.last.host_pid = holding.host_pid;
      at->second.looks_needed = holding.known ? kLooksKnown : kLooks;
      if (!Open(at->second, belongs)) {
        suspects_.erase(at);
        continue;
      }
      at->second.last.command = ProcessLook(holding.host_pid).Command();
    }
    // Of several cards the one with the most.
    const bool first = found.insert(holding.host_pid).second;
    at->second.looks += first ? 1 : 0;
    if (first || unseen > at->second.last.unseen) {
      at->second.last.gpu = holding.gpu;
      at->second.last.memory = holding.real;
      at->second.last.unseen = unseen;
    }
  }
  for (auto at = suspects_.begin(); at != suspects_.end();) {
    Suspect& suspect = at->second;
    if (HasEnded(suspect)) {
      if (suspect.dealt) tell(suspect, BypassStep::kEnded);
      at = suspects_.erase(at);
      continue;
    }
    if (!suspect.dealt && !found.contains(at->first)) {
      at = suspects_.erase(at);
      continue;
    }
    if (!suspect.dealt ? suspect.looks >= suspect.looks_needed
                       : suspect.last.rule != rules.bypass_rule) {
      tell(suspect, Apply(suspect, rules.bypass_rule, now));
    } else if (suspect.last.step == BypassStep::kAsked && now - suspect.asked_at >= grace_) {
      if (Signal(suspect.process, SIGKILL)) tell(suspect, BypassStep::kKilled);
    }
    ++at;
  }
  return news;
}

bool BypassWatch::throttles() const {
  return std::ranges::any_of(suspects_, [](const auto& entry) {
    return entry.second.dealt && entry.second.last.rule == BypassRule::kThrottle;
  });
}

int BypassWatch::Count(const GpuId& gpu) const {
  return static_cast<int>(std::ranges::count_if(suspects_, [&](const auto& entry) {
    return entry.second.dealt && entry.second.last.gpu == gpu;
  }));
}

}  // namespace sluice::agent
