// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/run_queue.h"

#include <algorithm>

namespace sluice::simgpu {

// Whose turn it is now, with the turn passed on if it has to be; null: nobody has work.
Party* RunQueue::Holder() {
  Party* next = nullptr;   // First with work after the present one…
  Party* first = nullptr;  // …or from the beginning.
  for (Party& party : parties_) {
    if (party.backlog_ns <= 0) continue;
    if (party.slot == turn_.slot && turn_.left_ns > 0) return &party;
    if (first == nullptr) first = &party;
    if (next == nullptr && party.slot > turn_.slot) next = &party;
  }
  Party* holder = next != nullptr ? next : first;
  if (holder != nullptr) turn_ = {holder->slot, slice_ns_};
  return holder;
}

bool RunQueue::Next(int64_t from_ns, int64_t until_ns, Stretch& stretch) {
  if (from_ns >= until_ns) return false;
  Party* holder = Holder();
  if (holder == nullptr) return false;
  bool alone = std::count_if(parties_.begin(), parties_.end(), [](const Party& party) {
                 return party.backlog_ns > 0;
               }) == 1;
  int64_t run_ns = std::min(until_ns - from_ns, holder->backlog_ns);
  if (!alone) run_ns = std::min(run_ns, turn_.left_ns);
  holder->backlog_ns -= run_ns;
  // Who was alone has a whole slice when somebody joins.
  turn_.left_ns = alone ? slice_ns_ : turn_.left_ns - run_ns;
  stretch = {holder->slot, from_ns, from_ns + run_ns};
  return true;
}

}  // namespace sluice::simgpu
