// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

// Who has a lane of a card when: processes with work take turns of one slice each, in the order of
// their slots; who runs out of work gives the rest of its slice up; who is alone keeps the lane.
// Pure arithmetic over times in nanoseconds, used both to move a lane's schedule up to now and to
// look ahead.
namespace sluice::simgpu {

// Whose turn it is. `left_ns` is what remains of its slice.
struct Turn {
  int slot = -1;
  int64_t left_ns = 0;
};

struct Party {
  int slot = 0;
  int64_t backlog_ns = 0;  // Work that it handed in and did not get yet.
};

// One process having the lane for a while.
struct Stretch {
  int slot = 0;
  int64_t from_ns = 0;
  int64_t to_ns = 0;
};

class RunQueue {
 public:
  // `parties`: those with work, by ascending slot. `slice_ns` > 0.
  RunQueue(std::vector<Party> parties, Turn turn, int64_t slice_ns)
      : parties_(std::move(parties)), turn_(turn), slice_ns_(slice_ns) {}

  // The next stretch from `from_ns` on, at most until `until_ns`. False: nobody has work, or no
  // time is left.
  bool Next(int64_t from_ns, int64_t until_ns, Stretch& stretch);

  const Turn& turn() const { return turn_; }

 private:
  Party* Holder();

  std::vector<Party> parties_;
  Turn turn_;
  int64_t slice_ns_;
};

}  // namespace sluice::simgpu
