// SPDX-License-Identifier: Apache-2.0
#pragma once

// Named points of the interposer's work, at which the ledger's property test stops a process, looks
// at the books, and ends it or lets it go on. In the product they are nothing at all; the test has
// a build of its own in which they are calls.
//
//   driver, driven   before and after each call of the driver's
//   slot             a slot's lock is taken, the slot is not ours yet
//   cell             what the slot will hold is written, the card's word is not changed yet
//   word             the card's word is changed, the operation is not marked as applied
//   pool             a pool's growth is charged, the pool does not know of it yet
//   emptied          what a dead slot held is given back, the slot is not free yet
#if defined(SLUICE_STOP_POINTS)
namespace sluice {
void PassPoint(const char* name);
}
#define SLUICE_POINT(name) ::sluice::PassPoint(name)
#else
#define SLUICE_POINT(name) static_cast<void>(0)
#endif
