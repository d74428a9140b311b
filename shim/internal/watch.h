// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "shim/internal/process.h"

// A thread per process that looks after work in flight when no thread of the program calls in: it
// says in the slot that a card is drained, and rings. It is started with the first launch that is
// counted, blocks all signals, and sleeps without a timer while nothing is in flight.
namespace sluice::shim {

// Requires: the card's flight has its slot. Starts the thread or wakes it.
void Watch(Card card);
// One byte into the share's bell, if there is one: the agent looks at the share at once.
void Ring();
// In a forked child.
void ForgetWatch();

}  // namespace sluice::shim
