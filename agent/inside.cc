// SPDX-License-Identifier: Apache-2.0
#include "agent/inside.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/internal/files.h"
#include "shim/region.h"

namespace sluice::agent {
namespace {

Bytes BytesOf(uint64_t value) {
  return Bytes(static_cast<int64_t>(std::min<uint64_t>(value, region::kBytesMax)));
}

template <size_t N>
std::string TextOf(const char (&text)[N]) {
  return {text, strnlen(text, N)};
}

std::string CommandOf(const region::Slot& slot) {
  char name[17] = {};
  const uint64_t words[2] = {slot.comm[0].load(), slot.comm[1].load()};
  std::memcpy(name, words, sizeof(words));
  std::string text(name);
  for (char& c : text) {
    c = c < 0x20 || c > 0x7e ? '?' : c;
  }
  return text;
}

InsideDevice DeviceOf(const region::PolicyDevice& policy, const region::LedgerPage& page, int i) {
  const uint32_t flags = policy.flags;
  return {.uuid = TextOf(policy.uuid_text),
          .limit = BytesOf(policy.memory_limit_bytes),
          .used = BytesOf(region::Used(policy, page, i)),
          .overhead = BytesOf(policy.overhead_bytes),
          .peak = std::min(BytesOf(page.devices[i].peak_bytes), BytesOf(policy.memory_limit_bytes)),
          .refused =
              static_cast<int64_t>(std::min<uint64_t>(page.devices[i].refused, uint64_t{1} << 53)),
          .guarantee = ComputeMillis(policy.guarantee_millis),
          .cap = ComputeMillis(policy.cap_millis),
          .compute_used = ComputeMillis(policy.used_millis),
          .compute_waiting = ComputeMillis(policy.waiting_millis),
          .simulated = (flags & region::kFlagSimulated) != 0};
}

}  // namespace

bool IsInside() {
  return access(region::kPolicyPath, F_OK) == 0;
}

Result<InsideView> LookInside() {
  if (!IsInside()) {
    return Fail(Code::kFailedPrecondition,
                "this is not inside a share: start a desktop, or use `sluice run`");
  }
  const File policy_file(open(region::kPolicyPath, O_RDONLY | O_CLOEXEC));
  const File ledger_file(open(region::kLedgerPath, O_RDWR | O_CLOEXEC));
  if (!policy_file || !ledger_file) {
    return Fail(Code::kUnavailable, "the share's pages cannot be opened");
  }
  const auto policy_map = Map(policy_file, sizeof(region::PolicyPage), Access::kRead);
  const auto ledger_map = Map(ledger_file, sizeof(region::LedgerPage));
  if (!policy_map || !ledger_map) {
    return Fail(policy_map ? ledger_map.error() : policy_map.error());
  }
  const auto& policy = *static_cast<const region::PolicyPage*>((*policy_map)->at());
  auto& page = *static_cast<region::LedgerPage*>((*ledger_map)->at());
  if (!region::IsReadable(policy) || !region::IsReadable(page)) {
    return Fail(Code::kDataLoss, "the share's pages are of another version of Sluice");
  }
  InsideView view;
  view.claim = TextOf(policy.share_id);
  view.label = TextOf(policy.label);
  const auto count = static_cast<int>(policy.device_count);
  for (int i = 0; i < count; ++i) {
    view.devices.push_back(DeviceOf(policy.devices[i], page, i));
  }
  for (int slot = region::NextTaken(page, 0); slot >= 0; slot = region::NextTaken(page, slot + 1)) {
    if (!region::IsAlive(ledger_file.get(), slot)) {
      continue;
    }
    InsideProcess process;
    process.pid = page.slots[slot].pid;
    process.command = CommandOf(page.slots[slot]);
    for (int i = 0; i < count; ++i) {
      process.memory.push_back(BytesOf(region::Held(page, i, slot)));
    }
    view.processes.push_back(std::move(process));
  }
  return view;
}

}  // namespace sluice::agent
