// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/seat.h"

#include <algorithm>

namespace sluice::agent {

using region::GrantMode;

namespace {

int64_t WeightOf(const CardTerms& terms) {
  return terms.guarantee_millis > 0 ? terms.guarantee_millis : 1000;
}

}  // namespace

Nanos Seat::Virtual(Nanos time) const {
  return time * 1000 / WeightOf(terms);
}

Nanos Seat::Service(Nanos virtual_span) const {
  // Divided first: a span may be as long as the longest debt of the smallest share.
  return virtual_span / 1000 * WeightOf(terms);
}

Nanos Seat::Burst(const ArbiterOptions& options) const {
  return std::max(options.quantum_min, options.cap_window * terms.cap_millis / 1000);
}

Nanos Seat::CapDelay(Nanos wanted_tokens) const {
  return !capped() || tokens >= wanted_tokens
             ? Nanos(0)
             : (wanted_tokens - tokens) * 1000 / terms.cap_millis + Nanos(1);
}

void Seat::Charge(Nanos time) {
  held += time;
  virtual_time += Virtual(time);
  tokens -= time;
}

void Seat::Accrue(Nanos now, const ArbiterOptions& options) {
  const Nanos passed = now - accrued_at;
  if (passed <= Nanos(0)) {
    return;
  }
  accrued_at = now;
  if (capped()) {
    tokens = std::min(Burst(options), tokens + passed * terms.cap_millis / 1000);
  }
  if (mode == GrantMode::kRun && !wants()) {
    unused += passed;
  }
  if (mode == GrantMode::kWait) {
    waited += seen.waiting ? passed : Nanos(0);
    if (blocking || (seen.busy && !stuck)) {
      Charge(passed);
    }
    return;
  }
  if (wall && mode == GrantMode::kRun) {
    Charge(passed);
    room = Nanos(0);
  } else {
    room = std::min(room + passed, options.far);
  }
}

void Seat::Take(const Observation& said, Nanos now) {
  const bool wanted = wants();
  // Counters that jump say nothing; those that go back are a new process's.
  const uint64_t done = said.finished_ns - seen.finished_ns;
  const Nanos used =
      said.finished_ns > seen.finished_ns
          ? Nanos(static_cast<int64_t>(std::min(done, static_cast<uint64_t>(room.count()))))
          : Nanos(0);
  const bool moved = said.submitted_ns != seen.submitted_ns;
  if (moved) {
    futile = 0;
    not_before = Nanos(0);
  }
  const bool told = mode == GrantMode::kWait && seen.in_flight == said.in_flight &&
                    seen.finished_ns == said.finished_ns && drains_at > revoked;
  seen = said;
  seen.in_flight = std::clamp(said.in_flight, Nanos(0), kLaunchMax);
  drains_at = told ? drains_at : now + seen.in_flight;
  seen.launch = std::clamp(said.launch, Nanos(0), kLaunchMax);
  if (mode == GrantMode::kWait) {
    blocking = blocking && (seen.busy || together);
  } else if (used > Nanos(0) && !wall) {
    Charge(used);
    room -= used;
  }
  if (mode == GrantMode::kRun && seen.waiting && extended) {
    fresh = true;
    extended = false;
  }
  if (!wanted && (wants() || moved) && last_wanted >= Nanos(0)) {
    think += (now - idle_since - think) / 4;
  }
  woke = woke || (!wanted && wants());
  if (wants()) {
    last_wanted = now;
    unused = Nanos(0);
  } else if (wanted || moved) {
    unused = Nanos(0);
    idle_since = now;
    last_wanted = now;
  }
}

void Seat::TellRun(Nanos end, Nanos bound, Nanos now) {
  if (mode != GrantMode::kRun || blocking) {
    mode = GrantMode::kRun;
    granted = now;
    blocking = false;
    together = false;
    stuck = false;
    submitted_at_grant = seen.submitted_ns;
    fresh = true;
    extended = false;
    room = Nanos(0);
  } else if (end != until || bound != in_flight) {
    changed = true;
    // Whoever found the old end passed sleeps, and would not see the new one.
    if (now >= until || seen.waiting) {
      fresh = true;
      extended = false;
    } else {
      extended = extended || end > until;
    }
  }
  until = end;
  in_flight = bound;
}

void Seat::TellWait(Nanos now) {
  if (mode == GrantMode::kWait) {
    return;
  }
  const bool wanted = wants();
  mode = GrantMode::kWait;
  idle_since = wanted && !wants() ? now : idle_since;
  fresh = true;
  extended = false;
  blocking = true;
  together = false;
  stuck = false;
  revoked = now;
  until = now;
}

void Seat::TellFinish(Nanos end) {
  mode = GrantMode::kRun;
  fresh = true;
  wall = true;
  until = end;
  in_flight = Nanos(1);  // One launch at a time.
}

void Seat::StopFinish(Nanos now) {
  mode = GrantMode::kWait;
  fresh = true;
  until = now;
}

void Seat::TellOpen() {
  if (mode != GrantMode::kOpen) {
    mode = GrantMode::kOpen;
    open_since_look = true;
    fresh = true;
    extended = false;
    blocking = false;
    together = false;
    stuck = false;
    wall = false;
    room = Nanos(0);
  }
}

}  // namespace sluice::agent
