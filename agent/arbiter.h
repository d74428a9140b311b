// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "shim/region.h"

// The compute arbiter: who may use which card now.
//
// A card is given to one share at a time, in quanta, so that a share's GPU time is exactly the time
// for which it held the card: from its grant to the moment at which nothing of its work was left
// there. Shares that want the card take turns in the order of their virtual time, which runs the
// slower the larger the guarantee; what one does not want is lent to the others at once. What a
// share says of itself (estimates, counters, whether it waits) decides how soon it is served and
// how soon it lets go, never how much it is charged.
//
// Pure: no clock, thread or I/O; the same calls give the same answers.
namespace sluice::agent {

// A time of the caller's monotonic clock, or a length of time.
using Nanos = std::chrono::nanoseconds;

// Times, each with what gets worse when it is shorter and when it is longer.
struct ArbiterOptions {
  // A share's turn. Shorter: the hand-over (a wake-up and the tail of the drain, about 50 µs) costs
  // more than 1 %. Longer: others' work stutters, lent time comes back later.
  Nanos quantum_min{5'000'000};
  Nanos quantum_max{20'000'000};
  // Everybody who wants the card has a turn within about so long. Shorter: as quantum_min.
  Nanos round{40'000'000};
  // Who wakes and is owed time waits at least until the runner had so much. Shorter: two shares
  // that nap often spend their time on hand-overs. Longer: answers come later.
  Nanos slice_min{2'000'000};
  // A runner that pauses keeps the card so long if it is owed time, and is known to come back
  // within it. Shorter: programs that wait for each kernel lose their turn at each. Longer: idle.
  Nanos linger{500'000};
  // Work handed to the driver and not finished, with and without others who want the card. Less:
  // the card idles between launches. More: the hand-over takes longer.
  Nanos in_flight{2'000'000};
  Nanos in_flight_lone{5'000'000};
  // How far ahead a grant ends that nobody else wants. Shorter: the agent wakes more often. Longer:
  // after the agent's death a share runs on alone for longer than the others wait.
  Nanos far{1'000'000'000};
  // For so long after its turn a share's work that does not drain keeps others waiting; for as long
  // as its launches are where they are longer, at most drain_max. Shorter: honest work of unknown
  // length overlaps with the next share's. Longer: a program that hangs stops the others for
  // longer.
  Nanos drain{20'000'000};
  Nanos drain_max{1'000'000'000};
  // Whose work kept those who come first (a guarantee before best effort, a higher priority)
  // waiting for longer than `drain` is not served for so many times as long. Less: they lose more
  // to work that does not let go. More: such work is done more slowly.
  int64_t overrun_pause = 20;
  // What a share that napped is owed at most (or twice the longest recent hold of the card).
  // Shorter: bursts start late. Longer: they come with nobody else served meanwhile.
  Nanos credit{20'000'000};
  Nanos credit_max{1'000'000'000};
  // What a share can owe the others at most: after the longest overrun it is served again when they
  // had so much.
  Nanos debt_max{10'000'000'000};
  // A cap holds over about so long. Shorter: programs that pause never reach their cap. Longer: the
  // card is used in visible bursts.
  Nanos cap_window{50'000'000};
  // So long before a share's work should have drained, by what it says, the next one is told that
  // the card is its. Shorter: the card stands idle while that one wakes. Longer: the work of both
  // is on the card for longer, and both are charged.
  Nanos lead{200'000};
  // How often slots are looked at while somebody waits for the card, and while it drains. Rarer:
  // the card idles after a share has finished early. More often: CPU.
  Nanos poll{500'000};
  Nanos drain_poll{100'000};
  // A share that was given the card, says that it waits for it, and hands in nothing, loses it
  // after so long and is served less and less often, down to once per backoff_max, until it does.
  Nanos futile{5'000'000};
  Nanos backoff_max{80'000'000};
  // A share is given all its cards at once; one that it left alone for so long while it held them
  // is no longer kept from others, until it is used. Shorter: work that begins on one card finds
  // the other given away, and stands until it comes back. Longer: an unused card is kept for
  // longer.
  Nanos gang_trial{100'000'000};
  // No quanta: everybody may run at any time (another means divides the card).
  bool open = false;
};

using ShareId = uint64_t;  // Ties are decided for the smaller one.

struct CardTerms {
  int card = 0;
  uint32_t guarantee_millis = 0;  // 0: best effort: only when nobody with a guarantee wants it.
  uint32_t cap_millis = 0;        // 0: none.
  // What the share's page says when it joins: a restarted arbiter leaves the card with its holder.
  region::GrantMode found = region::GrantMode::kWait;
};

struct ShareTerms {
  std::vector<CardTerms> cards;
  int priority = 0;  // Strictly higher first.
};

struct SeatId {
  ShareId share = 0;
  int card = 0;

  friend auto operator<=>(const SeatId&, const SeatId&) = default;
};

// What a share's processes say of one card, all together.
struct Observation {
  bool waiting = false;  // Threads stand at the gate.
  // Work may be on the card: handed in and not finished, and, in kWait, not marked as drained
  // since.
  bool busy = false;
  Nanos in_flight{0};  // Handed in and not finished.
  Nanos launch{0};     // Mean of one launch; the longest of its processes'.
  uint64_t submitted_ns = 0;
  uint64_t finished_ns = 0;
};

struct Grant {
  SeatId seat;
  region::GrantMode mode = region::GrantMode::kWait;
  Nanos until{0};
  Nanos in_flight{0};
  // A new grant: the sequence must rise, and who sleeps at the gate must wake. False: only the end
  // or the bound of the present one has moved.
  bool fresh = false;
};

struct Decision {
  std::vector<Grant> grants;
  // When to observe and step again if nothing happens before; none: never.
  std::optional<Nanos> wake;
};

// Cumulative, since the share joined.
struct SeatAccount {
  Nanos held{0};
  Nanos waiting{0};  // Time in which it waited for the card.
  region::GrantMode mode = region::GrantMode::kWait;
};

// One thread at a time. Times given must not go back; if they do, they count as the last one.
class Arbiter {
 public:
  explicit Arbiter(const ArbiterOptions& options);
  Arbiter(Arbiter&&) noexcept;
  ~Arbiter();

  // Adds a share, or changes the terms of one that is there. Guarantees and caps may be anything:
  // they are relative to each other. The first Step afterwards tells every new seat its mode.
  void Join(ShareId share, const ShareTerms& terms, Nanos now);
  void Leave(ShareId share, Nanos now);

  // Any contents are safe. Seats that are not there are ignored.
  void Observe(SeatId seat, const Observation& seen, Nanos now);

  // What the driver says that the share used in the last `window`. More than it was charged for,
  // twice in a row, is charged. Returns how much that was.
  Nanos Correct(SeatId seat, Nanos busy, Nanos window, Nanos now);

  // What changes now. The caller makes it so, before it observes again.
  Decision Step(Nanos now);

  std::optional<SeatAccount> AccountOf(SeatId seat) const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace sluice::agent
