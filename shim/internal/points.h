// SPDX-License-Identifier: Apache-2.0
#pragma once

// Named points of the interposer's work, at which a test stops a process, looks at the books, and
// ends it or lets it go on, or ends one thread. In the product they are nothing at all; the tests
// have a build of their own in which they are calls.
//
//   driver, driven   before and after each call of the driver's
//   slot             a slot's lock is taken, the slot is not ours yet
//   cell             what the slot will hold is written, the card's word is not changed yet
//   word             the card's word is changed, the operation is not marked as applied
//   pool             a pool's growth is charged, the pool does not know of it yet
//   emptied          what a dead slot held is given back, the slot is not free yet
//
// Within this process, under a lock:
//
//   entry, removed, table    a block's row is half written; is out, and still counted; all rows
//                            are copied into a larger table that nobody knows yet
//   known, charge            a pool has a row and no handle yet; a charge, and no new state
//   flight, join, burst      work is counted and not told; joined in part; put in and not counted
//   shelf, row               an event is taken and still on its shelf; a thread's lanes likewise
//   watch                    the gate's thread is about to be started
#if defined(SLUICE_STOP_POINTS)
namespace sluice {
void PassPoint(const char* name);
}
#define SLUICE_POINT(name) ::sluice::PassPoint(name)
#else
#define SLUICE_POINT(name) static_cast<void>(0)
#endif
