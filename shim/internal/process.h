// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "shim/internal/abi.h"
#include "shim/region.h"

// This process's part in its share: the two pages, its slot, what it charges. Everything here is
// thread-safe, and none of it waits for another process.
namespace sluice::shim {

// An index of the policy's cards, or one of these.
using Card = int;
inline constexpr Card kNotShared = -1;  // Nothing to account for: no share, or no context.
inline constexpr Card kForeign = -2;    // A card that is not in the share: nothing may be held.

// Whether this process runs inside a share; maps the pages at the first call.
bool InShare();
// Takes the process's slot in the share now and not at its first charge. False: there is none left.
bool Join();

// The pages and the process's slot; no policy outside a share, or when its ledger cannot be used.
// The slot is -1 when all are taken.
struct Pages {
  const region::PolicyPage* policy = nullptr;
  region::LedgerPage* ledger = nullptr;
  int slot = -1;
};
Pages AttachedPages();

// The policy's row of a card (≥ 0).
const region::PolicyDevice& Policy(Card card);

// By the driver's ordinal, through the card's UUID; and of the calling thread's context.
Card CardOfOrdinal(CUdevice ordinal);
Card CurrentCard();
CUdevice OrdinalOf(Card card);

// By raw UUID; kForeign when the share has no such card.
Card CardOfUuid(const uint8_t* uuid);

// Reserves before a driver call. kOutOfMemory: refused, and counted, after what dead siblings held,
// what was freed in the order of a stream and what pools held back for reuse has been given back.
// kSuccess otherwise.
CUresult Charge(Card card, uint64_t bytes);
// The same without counting a refusal.
bool ChargeIfPossible(Card card, uint64_t bytes);
// Nor trying hard: whether it fits now.
bool TryCharge(Card card, uint64_t bytes);
void CountRefusal(Card card);
// Records what the driver already holds, even beyond the limit: the next charge pays for it.
void ChargeAnyway(Card card, uint64_t bytes);
void Return(Card card, uint64_t bytes);

// What a context costs, charged at the first allocation on a card. kOutOfMemory as Charge.
CUresult ChargeFirstContext(Card card);
CUresult ChargeContext(Card card);
void ReturnContext(Card card);

// Bytes of the card held by the whole share by the ledger.
uint64_t HeldByShare(Card card);
// Bytes of the card held by the whole share, as every view shows them: at most the limit.
uint64_t Used(Card card);

// The share's process with that number, either as the tenant or as the host counts: its number for
// the tenant, or 0 when it is none of the share's.
uint32_t OwnPid(uint32_t pid);

}  // namespace sluice::shim
