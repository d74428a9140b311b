// SPDX-License-Identifier: Apache-2.0
// Locks: state_, then the arbiter's own inside compute_, never the other way round.
#include "agent/local_agent.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <poll.h>
#include <set>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "agent/internal/bypass_watch.h"
#include "agent/internal/card_sampler.h"
#include "agent/internal/compute.h"
#include "agent/internal/files.h"
#include "agent/internal/front.h"
#include "agent/internal/mps.h"
#include "agent/internal/process_look.h"
#include "agent/internal/share_region.h"
#include "base/guarded.h"
#include "base/log.h"

namespace sluice::agent {
namespace {

constexpr char kInnerInterposer[] = "/run/sluice/lib/libsluice-cuda.so";
constexpr char kInnerCli[] = "/run/sluice/bin/sluice";
constexpr char kInnerSimulatedLibraries[] = "/run/sluice/simgpu/lib";
constexpr char kInnerSimulatedState[] = "/run/sluice/simgpu/state";
constexpr char kInnerSimulatedVisible[] = "/run/sluice/simgpu/visible";

// A claim's id names a folder.
Result<void> CheckClaim(const ClaimId& claim) {
  const std::string& text = claim.text();
  const bool plain = std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  if (text.empty() || text.size() >= sizeof(region::PolicyPage::share_id) || !plain) {
    return Fail(Code::kInvalidArgument, "a claim's id is up to 63 letters, digits, _ and -");
  }
  return {};
}

// However many processes end: the cards are not read more often than this.
constexpr Duration kLooksApart{100};

void AddOnce(std::vector<std::string>& list, const std::string& text) {
  if (std::ranges::find(list, text) == list.end()) {
    list.push_back(text);
  }
}

void AddOnce(std::vector<Mount>& list, const Mount& mount) {
  if (std::ranges::find(list, mount) == list.end()) {
    list.push_back(mount);
  }
}

class LocalAgent final : public Agent {
 public:
  LocalAgent(device::Backend& backend, LocalAgentOptions options)
      : options_(std::move(options)),
        backend_(backend),
        sampler_(backend, options_.clock != nullptr ? *options_.clock : clock_, options_.on_health),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        ended_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~LocalAgent() override;

  Result<void> Start();

  Result<std::vector<CardState>> Cards() override { return sampler_.Cards(); }
  Result<PreparedShare> Prepare(const ShareSpec& spec) override;
  Result<void> Resize(const ClaimId& claim, const std::vector<Allocation>& allocations) override;
  Result<void> Govern(const ClaimId& claim, const ShareRules& rules) override;
  std::vector<Bypass> TakeBypasses() override;
  Result<void> Release(const ClaimId& claim) override;
  Result<ShareUsage> Usage(const ClaimId& claim) override;
  std::vector<ClaimId> Prepared() override;

 private:
  // A watched process's place, for its pidfd's event.
  struct Place {
    ClaimId claim;
    int slot = 0;
  };
  // What is known of a share beside its pages.
  struct Care {
    explicit Care(Duration grace) : bypasses(grace) {}
    ShareRules rules;
    BypassWatch bypasses;
  };
  struct State {
    std::map<ClaimId, std::unique_ptr<ShareRegion>> shares;
    std::map<ClaimId, Care> care;
    std::deque<Bypass> news;            // Of bypasses, until they are taken.
    std::map<uint64_t, Place> watched;  // By event number.
    uint64_t last_event = 0;
  };
  using Totals = std::map<ClaimId, std::vector<Bytes>>;
  // The cards as read, and who used them.
  struct Sample {
    std::vector<device::Card> cards;
    std::map<int64_t, ProcessLook> processes;
  };

  Care& CareOf(State& state, const ClaimId& claim) const {
    return state.care.try_emplace(claim, options_.bypass_grace).first->second;
  }
  std::string FolderOf(const ClaimId& claim) const { return options_.folder + "/" + claim.text(); }
  void FindLeftRegions();
  void WatchLoop();
  void SampleLoop();
  void Sweep();
  void HandleEnd(uint64_t event);
  Totals ReadTotals();
  void Reconcile(std::vector<device::Card> cards, const Totals& before);
  std::vector<Holding> ReconcileShare(const ClaimId& claim,
                                      ShareRegion& share,
                                      Sample& sample,
                                      const std::vector<Bytes>& before);
  void LookForBypasses(State& state, const ClaimId& claim, const std::vector<Holding>& holdings);
  void Tell(const ClaimId& claim, const Care& care);
  Result<void> AddAccess(const Gpu& gpu, PreparedShare& prepared);
  Result<void> AddVisible(const std::string& folder,
                          const std::vector<ShareRegion::Card>& cards,
                          PreparedShare& prepared);

  LocalAgentOptions options_;
  SystemClock clock_;
  device::Backend& backend_;
  CardSampler sampler_;
  bool mps_ = false;  // Constant once started.
  Guarded<State> state_;
  std::unique_ptr<Compute> compute_;
  File epoll_;
  File stop_;
  File ended_;  // Written when a watched process has ended.
  std::jthread watcher_;
  std::jthread reader_;
};

LocalAgent::~LocalAgent() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof(one));
}

Result<void> LocalAgent::Start() {
  RaiseFileLimit();
  std::error_code error;
  std::filesystem::create_directories(options_.folder, error);
  if (error || chmod(options_.folder.c_str(), 0711) != 0) {
    return Fail(FromErrno(error ? error.value() : errno, "making", options_.folder));
  }
  epoll_event event = {};
  event.events = EPOLLIN;
  if (!epoll_ || !stop_ || !ended_ ||
      epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event) != 0) {
    return Fail(Code::kResourceExhausted, "no file descriptors left");
  }
  ArbiterOptions arbiter;
  mps_ = MpsRuns(options_.mps_control);
  arbiter.open = mps_;
  auto compute = Compute::Start(arbiter);
  if (!compute) {
    return Fail(compute.error());
  }
  compute_ = std::move(*compute);
  sampler_.Sample();
  FindLeftRegions();
  Sweep();
  watcher_ = std::jthread([this] { WatchLoop(); });
  reader_ = std::jthread([this] { SampleLoop(); });
  return {};
}

void LocalAgent::FindLeftRegions() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options_.folder, error)) {
    const ClaimId claim(entry.path().filename().string());
    auto share = ShareRegion::Find(entry.path().string());
    if (!share || (*share)->claim() != claim.text()) {
      Log(LogLevel::kWarning,
          "{} holds no share: {}",
          entry.path().string(),
          share ? "its page names another" : share.error().message);
      continue;
    }
    if (auto joined = compute_->Join(claim, entry.path().string()); !joined) {
      Log(LogLevel::kWarning, "share {}: {}", claim.text(), joined.error().message);
    }
    state_.With([&](State& state) { state.shares[claim] = std::move(*share); });
  }
}

void LocalAgent::WatchLoop() {
  epoll_event events[64];
  const auto wait_ms = static_cast<int>(options_.sweep_every.count());
  Duration swept = clock_.Steady();
  for (;;) {
    const int count = epoll_wait(epoll_.get(), events, 64, wait_ms);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.u64 == 0) {
        return;
      }
      HandleEnd(events[i].data.u64);
    }
    // Many deaths at once must not keep new processes from being seen.
    if (count <= 0 || clock_.Steady() - swept >= options_.sweep_every) {
      Sweep();
      swept = clock_.Steady();
    }
  }
}

// Looks at regular times, and soon after a process has ended: what the driver held for it must not
// stay charged to the next one.
void LocalAgent::SampleLoop() {
  pollfd waits[] = {{stop_.get(), POLLIN, 0}, {ended_.get(), POLLIN, 0}};
  const auto most = static_cast<int>(options_.sample_every.count());
  const auto least = static_cast<int>(std::min(options_.sample_every, kLooksApart).count());
  for (;;) {
    if (poll(waits, 1, least) > 0) return;
    poll(waits, 2, most - least);
    if (waits[0].revents != 0) return;
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(ended_.get(), &count, sizeof(count));
    const Totals before = ReadTotals();
    Reconcile(sampler_.Sample(), before);
  }
}

void LocalAgent::Sweep() {
  state_.With([&](State& state) {
    for (auto& [claim, share] : state.shares) {
      for (const ShareRegion::Watched& fresh : share->Sweep()) {
        epoll_event event = {};
        event.events = EPOLLIN;
        event.data.u64 = ++state.last_event;
        state.watched[state.last_event] = {claim, fresh.slot};
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fresh.pidfd, &event);
      }
    }
    // What is not watched any more (its slot was taken over) has left the epoll set with its pidfd.
    std::erase_if(state.watched, [&](const auto& entry) {
      const auto share = state.shares.find(entry.second.claim);
      return share == state.shares.end() || !share->second->IsWatched(entry.second.slot);
    });
  });
}

void LocalAgent::HandleEnd(uint64_t event) {
  state_.With([&](State& state) {
    const auto found = state.watched.find(event);
    if (found == state.watched.end()) {
      return;
    }
    const auto share = state.shares.find(found->second.claim);
    if (share != state.shares.end()) {
      share->second->Ended(found->second.slot);
    }
    state.watched.erase(found);
  });
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(ended_.get(), &one, sizeof(one));
}

LocalAgent::Totals LocalAgent::ReadTotals() {
  return state_.With([](State& state) {
    Totals totals;
    for (const auto& [claim, share] : state.shares) {
      const size_t count = share->gpus().size();
      for (size_t i = 0; i < count; ++i) {
        totals[claim].push_back(share->Total(i));
      }
    }
    return totals;
  });
}

std::vector<Holding> LocalAgent::ReconcileShare(const ClaimId& claim,
                                                ShareRegion& share,
                                                Sample& sample,
                                                const std::vector<Bytes>& before) {
  std::vector<Holding> holdings;
  const std::vector<GpuId> gpus = share.gpus();
  for (size_t i = 0; i < gpus.size() && i < before.size(); ++i) {
    const auto card =
        std::ranges::find(sample.cards, gpus[i], [](const auto& c) { return c.gpu.id; });
    if (card == sample.cards.end()) {
      continue;
    }
    Bytes real;
    int busy_percent = 0;
    std::map<int64_t, Bytes> by_pid;
    std::set<int64_t> drawing;
    for (const device::ProcessUse& process : card->processes) {
      if (share.Owns(sample.processes.at(process.host_pid))) {
        real += process.memory;
        busy_percent += process.utilization_percent;
        by_pid[process.host_pid] += process.memory;
        if (process.draws_only) drawing.insert(process.host_pid);
      }
    }
    // What was reserved or freed while the driver was asked is nobody's overhead.
    share.Compare(i, real, std::max(before[i], share.Total(i)));
    share.LearnContext(i, by_pid);
    share.SetUtilization(i, busy_percent);
    compute_->Sampled(claim, i, busy_percent);
    for (const auto& [pid, memory] : by_pid) {
      holdings.push_back(share.LedgerOf(i, pid));
      holdings.back().gpu = gpus[i];
      holdings.back().real = memory;
      // No slot is expected of it.
      holdings.back().known = holdings.back().known || drawing.contains(pid);
    }
  }
  return holdings;
}

void LocalAgent::LookForBypasses(State& state,
                                 const ClaimId& claim,
                                 const std::vector<Holding>& holdings) {
  constexpr size_t kNewsMax = 1'000;
  ShareRegion& share = *state.shares.at(claim);
  Care& care = CareOf(state, claim);
  const auto belongs = [&share](int64_t pid) {
    ProcessLook look(pid);
    return share.Owns(look);
  };
  const std::vector<Bypass> news =
      care.bypasses.Look(holdings, care.rules, clock_.Steady(), belongs);
  for (Bypass bypass : news) {
    bypass.claim = claim;
    Log(bypass.step == BypassStep::kEnded ? LogLevel::kInfo : LogLevel::kWarning,
        "share {}: {} (process {}) holds {} of {}, {} of it round the ledger: {}",
        claim.text(),
        bypass.command,
        bypass.host_pid,
        ToText(bypass.memory),
        bypass.gpu.text(),
        ToText(bypass.unseen),
        ToString(bypass.step));
    state.news.push_back(std::move(bypass));
    if (state.news.size() > kNewsMax) state.news.pop_front();
  }
  Tell(claim, care);
}

void LocalAgent::Tell(const ClaimId& claim, const Care& care) {
  compute_->Govern(claim,
                   {.priority = care.rules.priority, .throttled = care.bypasses.throttles()});
}

void LocalAgent::Reconcile(std::vector<device::Card> cards, const Totals& before) {
  Sample sample{std::move(cards), {}};
  for (const device::Card& card : sample.cards) {
    for (const device::ProcessUse& process : card.processes) {
      sample.processes.try_emplace(process.host_pid, process.host_pid);
    }
  }
  state_.With([&](State& state) {
    for (auto& [claim, share] : state.shares) {
      const auto totals = before.find(claim);
      if (totals != before.end() && !sample.cards.empty()) {
        LookForBypasses(state, claim, ReconcileShare(claim, *share, sample, totals->second));
      }
    }
  });
}

Result<void> LocalAgent::AddAccess(const Gpu& gpu, PreparedShare& prepared) {
  auto access = backend_.Access(gpu.id);
  if (!access) {
    return Fail(access.error());
  }
  for (const std::string& node : access->device_nodes) {
    AddOnce(prepared.device_nodes, node);
  }
  if (gpu.simulated) {
    for (const std::string& folder : access->library_dirs) {
      AddOnce(prepared.mounts, {folder, kInnerSimulatedLibraries, false});
      AddOnce(prepared.library_dirs, kInnerSimulatedLibraries);
    }
    for (const std::string& folder : access->read_write) {
      AddOnce(prepared.mounts, {folder, kInnerSimulatedState, true});
    }
    return {};
  }
  for (const std::string& folder : access->library_dirs) {
    AddOnce(prepared.mounts, {folder, folder, false});
    AddOnce(prepared.library_dirs, folder);
  }
  for (const std::string& path : access->read_only) {
    AddOnce(prepared.mounts, {path, path, false});
  }
  for (const std::string& path : access->read_write) {
    AddOnce(prepared.mounts, {path, path, true});
  }
  return {};
}

// Real cards are seen by their device nodes; simulated ones by this list.
Result<void> LocalAgent::AddVisible(const std::string& folder,
                                    const std::vector<ShareRegion::Card>& cards,
                                    PreparedShare& prepared) {
  std::string list;
  for (const ShareRegion::Card& card : cards) {
    list += card.simulated ? card.allocation.gpu.text() + "\n" : "";
  }
  if (list.empty()) {
    return {};
  }
  const std::string path = folder + "/visible";
  prepared.mounts.push_back({path, kInnerSimulatedVisible, false});
  return WriteSmall(path, list, 0644);
}

Result<PreparedShare> LocalAgent::Prepare(const ShareSpec& spec) {
  if (auto checked = CheckClaim(spec.claim); !checked) {
    return Fail(checked.error());
  }
  if (spec.allocations.empty() || spec.allocations.size() > region::kDevicesMax) {
    return Fail(Code::kInvalidArgument, "a share has 1 to 16 cards");
  }
  PreparedShare prepared;
  std::vector<ShareRegion::Card> cards;
  const std::string folder = FolderOf(spec.claim);
  prepared.mounts = {{folder + "/policy", region::kPolicyPath, false},
                     {folder + "/ledger", region::kLedgerPath, true},
                     {folder + "/bell", region::kBellPath, true},
                     {options_.interposer, kInnerInterposer, false}};
  if (!options_.cli.empty()) {
    prepared.mounts.push_back({options_.cli, kInnerCli, false});
  }
  prepared.preload = kInnerInterposer;
  for (const Allocation& allocation : spec.allocations) {
    auto gpu = sampler_.Find(allocation.gpu);
    if (!gpu) {
      return Fail(gpu.error());
    }
    if (auto added = AddAccess(*gpu, prepared); !added) {
      return Fail(added.error());
    }
    cards.push_back({allocation, gpu->simulated});
  }
  if (!options_.fronts.empty()) {
    if (auto put = PutFronts(options_.fronts, prepared); !put) {
      return Fail(put.error());
    }
  }
  if (mps_) {
    AddMps(options_.mps_control, spec.allocations, prepared);
  }
  // The files are made under the lock, so that two preparations of one claim are one after another.
  return state_.With([&](State& state) -> Result<PreparedShare> {
    auto share = ShareRegion::Make(folder, spec, cards, options_.context);
    if (!share) {
      return Fail(share.error());
    }
    if (auto visible = AddVisible(folder, cards, prepared); !visible) {
      return Fail(visible.error());
    }
    // An agent that already holds the share keeps it, with the processes that it watches, unless
    // somebody removed its files.
    std::unique_ptr<ShareRegion>& place = state.shares[spec.claim];
    if (place == nullptr || !place->IsSame(**share)) {
      place = std::move(*share);
    }
    if (auto joined = compute_->Join(spec.claim, folder); !joined) {
      return Fail(joined.error());
    }
    Care& care = CareOf(state, spec.claim);
    care.rules = spec.rules;
    Tell(spec.claim, care);
    return prepared;
  });
}

Result<void> LocalAgent::Resize(const ClaimId& claim, const std::vector<Allocation>& allocations) {
  return state_.With([&](State& state) -> Result<void> {
    const auto found = state.shares.find(claim);
    if (found == state.shares.end()) {
      return Fail(Code::kNotFound, "no share is prepared for " + claim.text());
    }
    auto resized = found->second->Resize(allocations);
    return resized ? compute_->Join(claim, FolderOf(claim)) : resized;
  });
}

Result<void> LocalAgent::Govern(const ClaimId& claim, const ShareRules& rules) {
  return state_.With([&](State& state) -> Result<void> {
    if (!state.shares.contains(claim)) {
      return Fail(Code::kNotFound, "no share is prepared for " + claim.text());
    }
    Care& care = CareOf(state, claim);
    care.rules = rules;
    Tell(claim, care);
    return {};
  });
}

std::vector<Bypass> LocalAgent::TakeBypasses() {
  return state_.With([](State& state) {
    std::vector<Bypass> news(state.news.begin(), state.news.end());
    state.news.clear();
    return news;
  });
}

Result<void> LocalAgent::Release(const ClaimId& claim) {
  state_.With([&](State& state) {
    const auto found = state.shares.find(claim);
    if (found == state.shares.end()) {
      return;
    }
    compute_->Leave(claim);
    found->second->Revoke();
    state.shares.erase(found);
    state.care.erase(claim);
  });
  return {};
}

Result<ShareUsage> LocalAgent::Usage(const ClaimId& claim) {
  return state_.With([&](State& state) -> Result<ShareUsage> {
    const auto found = state.shares.find(claim);
    if (found == state.shares.end()) {
      return Fail(Code::kNotFound, "no share is prepared for " + claim.text());
    }
    ShareUsage usage = found->second->Usage();
    for (DeviceUsage& device : usage.devices) {
      device.bypassing = CareOf(state, claim).bypasses.Count(device.gpu);
    }
    return usage;
  });
}

std::vector<ClaimId> LocalAgent::Prepared() {
  return state_.With([](State& state) {
    std::vector<ClaimId> list;
    for (const auto& [claim, share] : state.shares) {
      list.push_back(claim);
    }
    return list;
  });
}

}  // namespace

Result<std::unique_ptr<Agent>> StartLocalAgent(device::Backend& backend,
                                               LocalAgentOptions options) {
  auto agent = std::make_unique<LocalAgent>(backend, std::move(options));
  if (auto started = agent->Start(); !started) {
    return Fail(started.error());
  }
  return std::unique_ptr<Agent>(std::move(agent));
}

}  // namespace sluice::agent
