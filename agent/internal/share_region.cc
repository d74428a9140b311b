// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/share_region.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <set>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

#include "agent/internal/compute_share.h"
#include "base/log.h"

namespace sluice::agent {
namespace {

constexpr unsigned kFolderMode = 0711;
// More than any context was seen to take; a larger measurement is something else.
constexpr int64_t kContextMax = int64_t{2} << 30;

template <size_t N>
void CopyText(char (&to)[N], std::string_view text) {
  std::memset(to, 0, N);
  std::memcpy(to, text.data(), std::min(text.size(), N - 1));
}

template <size_t N>
std::string_view TextOf(const char (&text)[N]) {
  return {text, strnlen(text, N)};
}

// Names come from the tenant.
std::string CommandOf(const region::Slot& slot) {
  char name[17] = {};
  const uint64_t words[2] = {slot.comm[0].load(), slot.comm[1].load()};
  std::memcpy(name, words, sizeof(words));
  return PlainText(name);
}

Bytes BytesOf(uint64_t value) {
  return Bytes(static_cast<int64_t>(std::min<uint64_t>(value, region::kBytesMax)));
}

}  // namespace

region::PolicyPage& ShareRegion::policy() const {
  return *static_cast<region::PolicyPage*>(policy_map_->at());
}
region::LedgerPage& ShareRegion::ledger() const {
  return *static_cast<region::LedgerPage*>(ledger_map_->at());
}

Result<void> ShareRegion::Open() {
  policy_file_ = File(open((folder_ + "/policy").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  ledger_file_ = File(open((folder_ + "/ledger").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!policy_file_ || !ledger_file_) {
    return Fail(FromErrno(errno, "opening the pages in", folder_));
  }
  auto policy_map = Map(policy_file_, sizeof(region::PolicyPage));
  if (!policy_map) {
    return Fail(policy_map.error());
  }
  policy_map_ = std::move(*policy_map);
  auto ledger_map = Map(ledger_file_, sizeof(region::LedgerPage));
  if (!ledger_map) {
    return Fail(ledger_map.error());
  }
  ledger_map_ = std::move(*ledger_map);
  guard_ = std::make_unique<BusGuard>(ledger_map_->at(), ledger_map_->bytes());
  if (!guard_->ok()) {
    return Fail(Code::kResourceExhausted, "too many shares on this machine");
  }
  return {};
}

Result<std::unique_ptr<ShareRegion>> ShareRegion::Make(const std::string& folder,
                                                       const ShareSpec& spec,
                                                       const std::vector<Card>& cards,
                                                       Bytes context) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error || chmod(folder.c_str(), kFolderMode) != 0) {
    return Fail(FromErrno(error ? error.value() : errno, "making", folder));
  }
  if (auto bell = MakeBell(folder, spec.tenant_uid); !bell) {
    return Fail(bell.error());
  }
  std::unique_ptr<ShareRegion> share(new ShareRegion());
  share->folder_ = folder;
  if (share->Open() && region::IsReadable(share->policy())) {
    share->Write(spec, cards, context);
    return share;
  }
  // Nothing there, or not whole: made anew. Each file appears under its name only when it is.
  const std::string policy_path = folder + "/policy.new";
  const std::string ledger_path = folder + "/ledger.new";
  auto policy_file = MakeFile(policy_path, sizeof(region::PolicyPage), 0644);
  if (!policy_file) {
    return Fail(policy_file.error());
  }
  auto ledger_file = MakeFile(ledger_path, sizeof(region::LedgerPage), 0600);
  if (!ledger_file) {
    return Fail(ledger_file.error());
  }
  if (spec.tenant_uid != geteuid() &&
      fchown(ledger_file->get(), spec.tenant_uid, static_cast<gid_t>(-1)) != 0) {
    return Fail(FromErrno(errno, "giving the share's user", ledger_path));
  }
  for (const char* name : {"/ledger", "/policy"}) {
    if (auto published = Publish(folder + name + ".new", folder + name); !published) {
      return Fail(published.error());
    }
  }
  if (auto opened = share->Open(); !opened) {
    return Fail(opened.error());
  }
  region::LedgerPage& page = share->ledger();
  page.version = region::kVersion;
  page.slot_count = region::kSlotCount;
  page.magic = region::kLedgerMagic;
  share->Write(spec, cards, context);
  return share;
}

Result<std::unique_ptr<ShareRegion>> ShareRegion::Find(const std::string& folder) {
  std::unique_ptr<ShareRegion> share(new ShareRegion());
  share->folder_ = folder;
  if (auto opened = share->Open(); !opened) {
    return Fail(opened.error());
  }
  if (!region::IsReadable(share->policy())) {
    return Fail(Code::kDataLoss, "the policy page in " + folder + " is of another version");
  }
  return share;
}

void ShareRegion::Write(const ShareSpec& spec, const std::vector<Card>& cards, Bytes context) {
  region::PolicyPage& page = policy();
  ++page.generation;
  CopyText(page.share_id, spec.claim.text());
  CopyText(page.label, spec.label);
  for (size_t i = 0; i < cards.size(); ++i) {
    const Allocation& allocation = cards[i].allocation;
    region::PolicyDevice& device = page.devices[i];
    CopyText(device.uuid_text, allocation.gpu.text());
    if (!region::ParseUuid(device.uuid_text, device.uuid)) {
      std::memset(device.uuid, 0, sizeof(device.uuid));  // Matches no card's.
    }
    device.guarantee_millis = static_cast<uint32_t>(allocation.guarantee.value());
    device.cap_millis = static_cast<uint32_t>(allocation.cap.value());
    if (device.context_bytes == 0) {
      device.context_bytes = static_cast<uint64_t>(context.value());
    }
    device.memory_limit_bytes = static_cast<uint64_t>(allocation.memory.value());
    device.flags = cards[i].simulated ? region::kFlagSimulated : 0;
  }
  page.device_count = static_cast<uint32_t>(cards.size());
  page.version = region::kVersion;
  page.magic = region::kPolicyMagic;
}

Result<void> ShareRegion::Resize(const std::vector<Allocation>& allocations) {
  region::PolicyPage& page = policy();
  const std::vector<GpuId> held = gpus();
  const bool same =
      std::ranges::equal(allocations, held, [](const auto& allocation, const GpuId& gpu) {
        return allocation.gpu == gpu;
      });
  if (!same) {
    return Fail(Code::kInvalidArgument, "a share keeps its cards when it is resized");
  }
  std::vector<uint64_t> before;
  for (size_t i = 0; i < allocations.size(); ++i) {
    before.push_back(page.devices[i].memory_limit_bytes);
    page.devices[i].memory_limit_bytes = static_cast<uint64_t>(allocations[i].memory.value());
  }
  // Lowered first (by sequentially consistent stores), then looked at: what is granted after the
  // look fits the new limit. A program looks at the limit once more after it has charged, so a
  // charge by the old limit that this look misses is taken back.
  for (size_t i = 0; i < allocations.size(); ++i) {
    const uint64_t limit = page.devices[i].memory_limit_bytes;
    const uint64_t used =
        region::Total(ledger(), static_cast<int>(i)) + page.devices[i].overhead_bytes;
    if (limit >= before[i] || used <= limit) {
      continue;
    }
    for (size_t k = 0; k < before.size(); ++k) {
      page.devices[k].memory_limit_bytes = before[k];
    }
    return Fail(Code::kFailedPrecondition,
                fmt::format("its programs use {} now; {} would be too little",
                            ToText(BytesOf(used)),
                            ToText(allocations[i].memory)));
  }
  for (size_t i = 0; i < allocations.size(); ++i) {
    page.devices[i].guarantee_millis = static_cast<uint32_t>(allocations[i].guarantee.value());
    page.devices[i].cap_millis = static_cast<uint32_t>(allocations[i].cap.value());
  }
  ++page.generation;
  return {};
}

bool ShareRegion::IsSame(const ShareRegion& other) const {
  struct stat mine = {};
  struct stat theirs = {};
  return fstat(ledger_file_.get(), &mine) == 0 && fstat(other.ledger_file_.get(), &theirs) == 0 &&
         mine.st_ino == theirs.st_ino && mine.st_dev == theirs.st_dev;
}

std::string ShareRegion::claim() const {
  return std::string(TextOf(policy().share_id));
}

std::vector<GpuId> ShareRegion::gpus() const {
  std::vector<GpuId> list;
  for (uint32_t i = 0; i < policy().device_count; ++i) {
    list.emplace_back(std::string(TextOf(policy().devices[i].uuid_text)));
  }
  return list;
}

// The tenant cut its ledger short. Its processes end with that; the file is made whole again, and
// what they still hold shows up as overhead.
void ShareRegion::Repair() {
  if (!guard_->TakeDamage()) {
    return;
  }
  Log(LogLevel::kWarning, "share {}: its ledger was cut short by one of its processes", claim());
  if (posix_fallocate(ledger_file_.get(), 0, static_cast<off_t>(ledger_map_->bytes())) != 0 ||
      mmap(ledger_map_->at(),
           ledger_map_->bytes(),
           PROT_READ | PROT_WRITE,
           MAP_SHARED | MAP_FIXED,
           ledger_file_.get(),
           0) == MAP_FAILED) {
    return;
  }
  ledger().version = region::kVersion;
  ledger().slot_count = region::kSlotCount;
  ledger().magic = region::kLedgerMagic;
}

// The tenant may write past the page's end; what it puts there is cut off again, so that it does
// not use up the host's memory.
void ShareRegion::Shrink() {
  struct stat status = {};
  const auto bytes = static_cast<off_t>(ledger_map_->bytes());
  if (fstat(ledger_file_.get(), &status) == 0 && status.st_size > bytes &&
      ftruncate(ledger_file_.get(), bytes) == 0) {
    Log(LogLevel::kWarning,
        "share {}: its ledger was made larger by one of its processes",
        claim());
  }
}

std::vector<ShareRegion::Watched> ShareRegion::Sweep() {
  Repair();
  Shrink();
  std::vector<Watched> fresh;
  region::LedgerPage& page = ledger();
  if (!told_full_ && page.turned_away.load() > 0) {
    told_full_ = true;
    Log(LogLevel::kWarning,
        "share {}: {} of its processes use its GPUs, which is all that may; cuInit answers others "
        "with 807",
        claim(),
        region::kSlotCount);
  }
  std::set<int> taken;
  for (int slot = region::NextTaken(page, 0); slot >= 0; slot = region::NextTaken(page, slot + 1)) {
    if (region::ReclaimIfDead(page, ledger_file_.get(), slot)) {
      processes_.erase(slot);
      continue;
    }
    const int pid = region::OwnerPid(ledger_file_.get(), slot);
    taken.insert(slot);
    auto known = processes_.find(slot);
    if (pid == 0 || (known != processes_.end() && known->second.host_pid == pid)) {
      continue;
    }
    page.slots[slot].host_pid.store(static_cast<uint32_t>(pid));
    File pidfd;
    if (MayWatch(pid)) {
      pidfd = File(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    }
    if (pidfd) {
      fresh.push_back({pidfd.get(), slot});
    }
    processes_[slot] = {pid, std::move(pidfd)};
    ProcessLook look(pid);
    Remember(look);
  }
  std::erase_if(processes_, [&](const auto& entry) { return !taken.contains(entry.first); });
  return fresh;
}

// One share must not use up this process's descriptors, whatever locks its processes take. Who is
// not watched is found dead by the next sweep.
bool ShareRegion::MayWatch(int64_t host_pid) const {
  constexpr int64_t kWatchedMax = 64;
  int64_t watched = 0;
  for (const auto& [slot, process] : processes_) {
    watched += process.pidfd ? 1 : 0;
    if (process.host_pid == host_pid) {
      return false;
    }
  }
  return watched < kWatchedMax;
}

bool ShareRegion::Ended(int slot) {
  processes_.erase(slot);
  return region::ReclaimIfDead(ledger(), ledger_file_.get(), slot);
}

// Kept open, so that its number is not another's later.
void ShareRegion::Remember(ProcessLook& process) {
  constexpr size_t kNamespacesMax = 64;
  if (process.namespaces().empty()) return;
  const uint64_t number = process.namespaces().front().number;
  if (std::ranges::find(namespaces_, number, &PidNamespace::number) != namespaces_.end()) return;
  if (namespaces_.size() >= kNamespacesMax) namespaces_.erase(namespaces_.begin());
  namespaces_.push_back(std::move(process.TakeNamespaces().front()));
}

bool ShareRegion::Owns(ProcessLook& process) {
  if (!process.alive()) return false;
  const bool has_slot = std::ranges::any_of(
      processes_, [&](const auto& entry) { return entry.second.host_pid == process.host_pid(); });
  const bool inside = std::ranges::any_of(process.namespaces(), [&](const PidNamespace& around) {
    return std::ranges::find(namespaces_, around.number, &PidNamespace::number) !=
           namespaces_.end();
  });
  if (has_slot || inside) return true;
  struct stat status = {};
  const bool sees =
      fstat(ledger_file_.get(), &status) == 0 && process.SeesShare(claim(), status.st_uid);
  if (sees) Remember(process);
  return sees;
}

Holding ShareRegion::LedgerOf(size_t device, int64_t host_pid) const {
  Holding holding;
  holding.host_pid = host_pid;
  for (const auto& [slot, process] : processes_) {
    if (process.host_pid != host_pid) continue;
    const region::SlotDevice& account = ledger().slots[slot].devices[device];
    holding.known = true;
    holding.ledger += BytesOf(std::max(account.charged[0].load(), account.charged[1].load()));
  }
  return holding;
}

Bytes ShareRegion::Total(size_t device) const {
  return BytesOf(region::Total(ledger(), static_cast<int>(device)));
}

Bytes ShareRegion::Compare(size_t device, Bytes real, Bytes ledger) {
  const Bytes overhead = real > ledger ? real - ledger : Bytes(0);
  policy().devices[device].overhead_bytes = static_cast<uint64_t>(overhead.value());
  return overhead;
}

void ShareRegion::LearnContext(size_t device, const std::map<int64_t, Bytes>& real_by_pid) {
  // While something is taken or given back, the driver and the ledger are apart by that.
  const uint64_t word = ledger().devices[device].word.load();
  if (std::exchange(word_at_last_look_[device], word) != word) {
    return;
  }
  std::atomic<uint64_t>& price = policy().devices[device].context_bytes;
  int64_t least = kContextMax + 1;
  for (const auto& [slot, process] : processes_) {
    const auto real = real_by_pid.find(process.host_pid);
    const uint64_t context = ledger().slots[slot].devices[device].context_bytes.load();
    // Only of a process with one context at today's price is the rest of its charge known.
    if (real == real_by_pid.end() || context == 0 || context != price.load()) {
      continue;
    }
    const Bytes held = BytesOf(region::Held(ledger(), static_cast<int>(device), slot));
    const int64_t cost = real->second.value() - (held.value() - BytesOf(context).value());
    least = cost > 0 ? std::min(least, cost) : least;
  }
  // The cheapest is nearest to a bare context; what others have loaded is found as overhead.
  if (least <= kContextMax) {
    price = static_cast<uint64_t>(least);
  }
}

void ShareRegion::SetUtilization(size_t device, int percent) {
  utilization_percent_[device] = std::min(percent, 100);
}

ShareUsage ShareRegion::Usage() {
  ShareUsage usage;
  region::LedgerPage& page = ledger();
  const auto count = static_cast<int>(policy().device_count);
  for (int i = 0; i < count; ++i) {
    const region::PolicyDevice& device = policy().devices[i];
    DeviceUsage card;
    card.gpu = GpuId(std::string(TextOf(device.uuid_text)));
    card.limit = BytesOf(device.memory_limit_bytes);
    card.used = BytesOf(region::Used(device, page, i));
    card.overhead = std::min(card.used, BytesOf(device.overhead_bytes));
    card.guarantee = ComputeMillis(device.guarantee_millis);
    card.cap = ComputeMillis(device.cap_millis);
    card.compute_used = ComputeMillis(device.used_millis);
    card.compute_waiting = ComputeMillis(device.waiting_millis);
    card.peak = std::max(card.used, std::min(card.limit, BytesOf(page.devices[i].peak_bytes)));
    card.refused =
        static_cast<int64_t>(std::min<uint64_t>(page.devices[i].refused, uint64_t{1} << 53));
    const auto busy = utilization_percent_.find(static_cast<size_t>(i));
    card.utilization_percent = busy == utilization_percent_.end() ? 0 : busy->second;
    usage.devices.push_back(std::move(card));
  }
  for (int slot = region::NextTaken(page, 0); slot >= 0; slot = region::NextTaken(page, slot + 1)) {
    if (!region::IsAlive(ledger_file_.get(), slot)) {
      continue;
    }
    ShareProcess process;
    process.inner_pid = page.slots[slot].pid;
    process.command = CommandOf(page.slots[slot]);
    if (auto known = processes_.find(slot); known != processes_.end()) {
      process.host_pid = known->second.host_pid;
    }
    for (int i = 0; i < count; ++i) {
      process.memory += BytesOf(region::Held(page, i, slot));
    }
    usage.processes.push_back(std::move(process));
  }
  return usage;
}

void ShareRegion::Revoke() {
  for (uint32_t i = 0; i < policy().device_count; ++i) {
    policy().devices[i].flags.fetch_or(region::kFlagRevoked);
  }
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
  if (error) {
    Log(LogLevel::kWarning, "removing {}: {}", folder_, error.message());
  }
}

}  // namespace sluice::agent
