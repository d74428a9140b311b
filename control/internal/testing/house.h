// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "control/internal/controller.h"
#include "control/internal/testing/node.h"
#include "store/codec.h"
#include "store/memory.h"

namespace sluice::control::testing {

// A store whose commits can be cut off. The rest passes through.
class FaultyStore final : public store::Store {
 public:
  explicit FaultyStore(store::Store& real) : real_(real) {}
  std::function<Fault()> fault = [] { return Fault::kNone; };

  Result<store::Object> Get(store::Kind kind, std::string_view id) override {
    return real_.Get(kind, id);
  }
  Result<store::Listing> List(store::Kind kind, std::string_view after, size_t limit) override {
    return real_.List(kind, after, limit);
  }
  Result<uint64_t> Commit(std::span<const store::Write> writes) override;
  std::unique_ptr<store::Watch> WatchFrom(uint64_t version,
                                          std::vector<store::Kind> kinds) override {
    return real_.WatchFrom(version, std::move(kinds));
  }
  uint64_t Version() override { return real_.Version(); }

 private:
  store::Store& real_;
};

class AuditList final : public AuditSink {
 public:
  void Append(const Actor&, const AuditNote& note) override { notes.push_back(note); }
  std::vector<AuditNote> notes;
};

// One machine with control on it, in the words of its users.
class House {
 public:
  explicit House(uint64_t seed = 1);

  // A control process dies without a word and another one starts.
  void RestartControl();
  // Until nothing changes, however often one looks: a display comes up in a few looks.
  int Run();
  // Lets time pass in steps of `step`, with control at work.
  void Wait(Duration time, Duration step = Duration(1'000));

  DesktopId AddDesktop(const std::string& name, Bytes memory);
  ClaimId AddRun(int64_t pid, Bytes memory);
  // Changes a row as the portal does.
  void Change(const DesktopId& id, const std::function<void(Desktop&)>& change);
  void Wish(const DesktopId& id, DesiredState desired);
  void Restart(const DesktopId& id);

  Desktop Get(const DesktopId& id);
  std::optional<Claim> GetClaim(const ClaimId& id);
  bool Exists(const DesktopId& id);
  DesktopState StateOf(const DesktopId& id) { return Get(id).state; }
  std::vector<Desktop> AllDesktops();
  std::vector<Claim> AllClaims();
  Gpu GetGpu(const std::string& id);

  // What must hold at every moment, also between two steps. Empty: all is well.
  std::string Broken();

  Node node;
  ManualClock clock;
  SeededRandom random;
  AuditList audit;
  std::unique_ptr<store::Store> real_store;
  FaultyStore store;
  std::set<int64_t> living_pids;
  Control& control() { return *control_; }

 private:
  std::unique_ptr<Controller> control_;
};

}  // namespace sluice::control::testing
