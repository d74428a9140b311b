// SPDX-License-Identifier: Apache-2.0
// Any bytes as a ledger: first 16 bytes choose operations, the rest is laid over the page.
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/region.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using namespace sluice::region;
  static const int file = memfd_create("ledger", MFD_CLOEXEC);
  static LedgerPage* const page = [] {
    if (ftruncate(file, sizeof(LedgerPage)) != 0) {
      abort();
    }
    return static_cast<LedgerPage*>(
        mmap(nullptr, sizeof(LedgerPage), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  }();
  if (bytes < 16) {
    return 0;
  }
  const size_t rest = bytes - 16;
  memcpy(static_cast<void*>(page), data + 16, rest < sizeof(*page) ? rest : sizeof(*page));
  uint64_t choice = 0;
  uint64_t amount = 0;
  memcpy(&choice, data, 8);
  memcpy(&amount, data + 8, 8);
  const Account account{page, static_cast<int>(choice & 15), static_cast<int>(choice >> 4 & 1023)};
  const uint64_t room = amount >> 5;
  const bool charged = Charge(account, amount >> 30, room);
  if (charged && amount >> 30 != 0 && (amount >> 30) > room) {
    abort();  // More was given than there was room for, whatever the page said.
  }
  Return(account, amount >> 20);
  ReclaimIfDead(*page, file, account.slot);
  if (Held(*page, account.device, account.slot) != 0) {
    abort();
  }
  return 0;
}
