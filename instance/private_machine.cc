// SPDX-License-Identifier: Apache-2.0
#include "instance/private_machine.h"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <poll.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "agent/local_agent.h"
#include "base/clock.h"
#include "base/host_name.h"
#include "base/random.h"
#include "control/control.h"
#include "control/run_process.h"
#include "instance/cards.h"
#include "instance/layout.h"
#include "model/pool.h"
#include "runtime/fake.h"
#include "runtime/runtime.h"
#include "store/codec.h"
#include "store/memory.h"

namespace sluice::instance {
namespace {

namespace fs = std::filesystem;

constexpr Duration kFirstLookMax{5'000};
constexpr std::string_view kScratchName = "sluice-run-";

// Removes what runs that were killed could not remove: folders of ours named after a process that
// is no more.
void SweepScratch(const fs::path& parent) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kScratchName)) continue;
    const int64_t pid = std::atoll(name.c_str() + kScratchName.size());
    struct stat info {};
    if (lstat(entry.path().c_str(), &info) != 0 || info.st_uid != geteuid()) continue;
    if (pid > 0 && !control::ProcessStart(pid)) fs::remove_all(entry.path(), ignored);
  }
}

// A folder of our own that goes with us.
class ScratchFolder {
 public:
  static Result<ScratchFolder> Make() {
    const bool root_run = geteuid() == 0 && access("/run", W_OK) == 0;
    const fs::path parent = root_run ? "/run" : "/tmp";
    SweepScratch(parent);
    std::string path =
        (parent / (std::string(kScratchName) + std::to_string(getpid()) + "-XXXXXX")).string();
    if (mkdtemp(path.data()) == nullptr) {
      return Fail(Code::kUnavailable, "cannot make a folder for the share in " + path);
    }
    return ScratchFolder(std::move(path));
  }
  ScratchFolder(ScratchFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ScratchFolder& operator=(ScratchFolder&&) = delete;
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit ScratchFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// Nobody reads the log of one command.
class NoAudit final : public control::AuditSink {
 public:
  void Append(const control::Actor&, const control::AuditNote&) override {}
};

class Private final : public PrivateMachine {
 public:
  Private(ScratchFolder folder, Cards cards)
      : folder_(std::move(folder)), cards_(std::move(cards)) {}
  ~Private() override {
    if (!claim_.empty() && control_ != nullptr) {
      // The folder goes too: whatever this says, nothing is left.
      [[maybe_unused]] const auto released = control_->Release(claim_, "The command has ended.");
    }
  }

  Result<void> Open(const Layout& layout);
  Result<agent::PreparedShare> Take(const PrivateRequest& request) override;
  bool simulated() const override { return cards_.simulated; }

 private:
  Result<void> WaitForCards();

  ScratchFolder folder_;
  Cards cards_;
  SystemClock clock_;
  SystemRandom random_;
  NoAudit audit_;
  runtime::FakeMachine no_desktops_{clock_};
  std::unique_ptr<store::Store> store_ = store::OpenMemory();
  std::unique_ptr<agent::Agent> agent_;
  std::unique_ptr<runtime::Runtime> runtime_ = no_desktops_.Open();
  std::unique_ptr<control::Control> control_;
  ClaimId claim_;
};

Result<void> Private::Open(const Layout& layout) {
  agent::LocalAgentOptions options;
  options.folder = folder_.path() + "/shares";
  options.interposer = layout.interposer;
  options.cli = layout.program;
  options.mps_control = MpsControlPipe();
  auto agent = agent::StartLocalAgent(*cards_.backend, std::move(options));
  if (!agent) return Fail(agent.error());
  agent_ = std::move(*agent);
  control_ = control::Control::Create({*store_, *agent_, *runtime_, audit_, clock_},
                                      {.node = NodeId(HostName())});
  return {};
}

// The agent's first look at the cards takes a moment.
Result<void> Private::WaitForCards() {
  const auto end = clock_.Steady() + kFirstLookMax;
  for (;;) {
    const auto cards = agent_->Cards();
    if (cards && !cards->empty()) return {};
    if (clock_.Steady() > end) {
      return Fail(Code::kUnavailable,
                  cards ? "there is no GPU in this machine" : cards.error().message);
    }
    poll(nullptr, 0, 10);
  }
}

Result<agent::PreparedShare> Private::Take(const PrivateRequest& request) {
  if (const Pool pool; request.memory < pool.share_memory_min) {
    return Fail(Code::kInvalidArgument, WhyTooSmall(pool));
  }
  Claim claim;
  claim.id = ClaimId(NewIdText("clm", clock_.Now(), random_));
  claim.owner_kind = ClaimOwner::kRun;
  claim.run_pid = getpid();
  claim.run_pid_start = control::ProcessStart(getpid()).value_or(0);
  claim.run_command = request.command;
  claim.request.memory = request.memory;
  claim.request.guarantee = request.guarantee.value_or(ComputeMillis(0));
  claim.request.guarantee_by_memory = !request.guarantee;
  claim.request.cap = request.cap;
  claim.request.gpu_model = request.gpu_model;
  claim.reason = "Waiting for a GPU.";
  claim.created_at = clock_.Now();
  claim.queued_since = claim.created_at;
  if (auto put = store_->Commit(std::vector{store::Put(claim, 0)}); !put) return Fail(put.error());
  claim_ = claim.id;
  if (auto seen = WaitForCards(); !seen) return Fail(seen.error());
  control_->RunUntilIdle();
  auto share = control_->StartRun(claim_, geteuid());
  if (share || share.error().code != Code::kFailedPrecondition) return share;
  return Fail(Code::kResourceExhausted, share.error().message);
}

}  // namespace

Result<std::unique_ptr<PrivateMachine>> PrivateMachine::Create(const PrivateOptions& options) {
  auto layout = FindLayout();
  if (!layout) return Fail(layout.error());
  auto folder = ScratchFolder::Make();
  if (!folder) return Fail(folder.error());
  auto cards = OpenCards(
      *layout,
      {.simulate = options.simulate, .note = "", .simgpu_state = folder->path() + "/simgpu"});
  if (!cards) return Fail(cards.error());
  auto machine = std::make_unique<Private>(std::move(*folder), std::move(*cards));
  if (auto opened = machine->Open(*layout); !opened) return Fail(opened.error());
  return std::unique_ptr<PrivateMachine>(std::move(machine));
}

}  // namespace sluice::instance
