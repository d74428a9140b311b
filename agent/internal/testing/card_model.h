// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "agent/arbiter.h"

// Cards, programs and gates in virtual time, for tests of the arbiter: what a program really gets
// of a card comes from here, never from the arbiter's account. A tick is 10 µs.
namespace sluice::agent::testing {

using namespace std::chrono_literals;

inline constexpr Nanos kTick = 10us;

// What a process does, for ever: launches of one length, on each of its cards.
struct Program {
  Nanos launch{1ms};   // A kernel or a whole graph: the card's time for one launch.
  bool eager = false;  // Waits for each launch, then thinks.
  Nanos think{0};
  Nanos on{0};  // Works for so long, then rests for `off`; 0: always.
  Nanos off{0};
  Nanos from{0};  // Begins and ends.
  Nanos to{1'000'000'000'000};
  bool collective = false;       // Its launches on several cards proceed only at the same time.
  bool thread_per_card = false;  // Else one thread launches on each card in turn.
  // Bad faith: says that nothing of its work ever drains; that it waits though it never launches.
  bool never_drains = false;
  bool never_launches = false;
  Nanos stops{1'000'000'000'000};  // Stands still from then on, with work in flight.
};

// One process at its gate.
struct Process {
  ShareId share = 0;
  std::vector<int> cards{0};
  Program program;

  struct OnCard {
    uint64_t submitted = 0;
    uint64_t done = 0;  // Of the work, in ns.
    Nanos served{0};    // What the card spent on it.
    bool waiting = false;
    Nanos next{0};  // Thinks until then.
    bool in_sync = false;
    std::optional<uint64_t> stopped_at;

    Nanos Queued() const { return Nanos(static_cast<int64_t>(submitted - done)); }
  };
  std::map<int, OnCard> on;
  size_t launches = 0;

  // Whether the next launch goes to this card.
  bool IsNext(int card) const {
    return program.thread_per_card || !program.collective || cards[launches % cards.size()] == card;
  }

  bool IsOn(Nanos now) const {
    if (now < program.from || now >= program.to) {
      return false;
    }
    return program.off == Nanos(0) ||
           (now - program.from) % (program.on + program.off) < program.on;
  }
  // The meter knows of whole launches.
  uint64_t Finished(const OnCard& c) const {
    if (c.stopped_at) {
      return *c.stopped_at;
    }
    const auto unit = static_cast<uint64_t>(program.launch.count());
    return c.done == c.submitted ? c.done : c.done / unit * unit;
  }
};

class World {
 public:
  explicit World(const ArbiterOptions& options = {}) : options_(options) { Restart(); }

  struct Terms {
    uint32_t guarantee = 0;
    uint32_t cap = 0;
    int priority = 0;
  };

  // Adds a share with one process, on one or several cards.
  ShareId Add(Terms terms, Program program, std::vector<int> cards = {0}) {
    const ShareId id = ++last_;
    ShareTerms wanted;
    wanted.priority = terms.priority;
    for (const int card : cards) {
      wanted.cards.push_back({card, terms.guarantee, terms.cap, region::GrantMode::kWait});
      told_[{id, card}] = {{id, card}, region::GrantMode::kWait, now_, Nanos(0), true};
    }
    terms_[id] = wanted;
    arbiter_->Join(id, wanted, now_);
    Spawn(id, program, std::move(cards));
    Ring();
    return id;
  }
  // One more process of a share.
  void Spawn(ShareId id, Program program, std::vector<int> cards = {0}) {
    Process process;
    process.share = id;
    process.cards = std::move(cards);
    process.program = program;
    for (const int card : process.cards) {
      process.on[card] = {};
    }
    processes_.push_back(std::move(process));
  }
  void SetTerms(ShareId id, Terms terms) {
    terms_[id].priority = terms.priority;
    for (CardTerms& card : terms_[id].cards) {
      card.guarantee_millis = terms.guarantee;
      card.cap_millis = terms.cap;
    }
    arbiter_->Join(id, terms_[id], now_);
    Ring();
  }
  void Remove(ShareId id) {
    std::erase_if(processes_, [&](const Process& p) { return p.share == id; });
    terms_.erase(id);
    std::erase_if(told_, [&](const auto& entry) { return entry.first.share == id; });
    arbiter_->Leave(id, now_);
    Ring();
  }
  // A new agent takes over what the pages say.
  void Restart() {
    arbiter_ = std::make_unique<Arbiter>(options_);
    for (auto& [id, terms] : terms_) {
      for (CardTerms& card : terms.cards) {
        card.found = told_.at({id, card.card}).mode;
      }
      arbiter_->Join(id, terms, now_);
      for (CardTerms& card : terms.cards) {
        card.found = region::GrantMode::kWait;
      }
    }
    Ring();
  }

  void Run(Nanos time) {
    for (const Nanos end = now_ + time; now_ < end; now_ += kTick) {
      Tick();
    }
  }

  Nanos now() const { return now_; }
  Arbiter& arbiter() { return *arbiter_; }
  int64_t looks() const { return looks_; }
  int64_t new_grants() const { return new_grants_; }
  const Grant& Told(ShareId id, int card = 0) const { return told_.at({id, card}); }
  // The card's time that the share's processes had since the start.
  Nanos Served(ShareId id, int card = 0) const {
    Nanos sum{0};
    for (const Process& process : processes_) {
      const auto found = process.on.find(card);
      sum += process.share == id && found != process.on.end() ? found->second.served : Nanos(0);
    }
    return sum;
  }
  Nanos Done(ShareId id, int card = 0) const {
    uint64_t sum = 0;
    for (const Process& process : processes_) {
      const auto found = process.on.find(card);
      sum += process.share == id && found != process.on.end() ? found->second.done : 0;
    }
    return Nanos(static_cast<int64_t>(sum));
  }

 private:
  // A grant takes so long to be seen by the agent after a bell, and a timer to fire.
  static constexpr Nanos kLatency = 50us;

  void Ring() { look_ = std::min(look_, now_ + kLatency); }

  bool MayLaunch(const Process::OnCard& c, const Process& process, const Grant& grant) const {
    const Nanos outstanding(static_cast<int64_t>(c.submitted - process.Finished(c)));
    if (grant.mode == region::GrantMode::kOpen) {
      return c.Queued() < 20ms;
    }
    return grant.mode == region::GrantMode::kRun && now_ < grant.until &&
           (outstanding == Nanos(0) || outstanding + process.program.launch <= grant.in_flight);
  }

  void Submit(Process& process, int index) {
    Process::OnCard& c = process.on.at(index);
    const Program& program = process.program;
    const Grant& grant = told_.at({process.share, index});
    if (now_ >= program.stops && (c.stopped_at || c.Queued() > Nanos(0))) {
      c.stopped_at = c.stopped_at.value_or(process.Finished(c));
      return;
    }
    const bool empty = c.submitted == c.done;
    if (c.in_sync && empty) {
      c.in_sync = false;
      c.next = now_ + program.think;
      Ring();  // Nothing is left on the card: somebody else may want it.
    }
    const bool wishes = process.IsOn(now_) && !c.in_sync && now_ >= c.next && process.IsNext(index);
    const bool passed = grant.mode == region::GrantMode::kWait ||
                        (grant.mode == region::GrantMode::kRun && now_ >= grant.until);
    const bool waits = wishes && (passed || program.never_launches);
    if (waits && !c.waiting) {
      Ring();
    }
    c.waiting = waits;
    while (wishes && !program.never_launches && process.IsNext(index) &&
           MayLaunch(c, process, grant)) {
      ++process.launches;
      c.submitted += static_cast<uint64_t>(program.launch.count());
      if (program.eager) {
        c.in_sync = true;
        break;
      }
    }
  }

  // The driver's time slices: about 1 ms in turn for who has work.
  void Choose(int index) {
    Turn& turn = turns_[index];
    const auto has_work = [&](size_t i) {
      const auto found = processes_[i].on.find(index);
      return found != processes_[i].on.end() && found->second.submitted > found->second.done;
    };
    const size_t count = processes_.size();
    turn.busy = false;
    if (count == 0) {
      return;
    }
    turn.process %= count;
    if (now_ >= turn.until || !has_work(turn.process)) {
      for (size_t step = 1; step <= count; ++step) {
        const size_t i = (turn.process + step) % count;
        if (has_work(i)) {
          turn = {i, now_ + 1ms, true};
          return;
        }
      }
    }
    turn.busy = has_work(turn.process);
  }

  void Serve(int index) {
    Turn& turn = turns_[index];
    if (!turn.busy) {
      return;
    }
    Process& process = processes_[turn.process];
    Process::OnCard& c = process.on.at(index);
    c.served += kTick;
    if (process.program.collective && !std::ranges::all_of(process.cards, [&](int other) {
          return turns_[other].busy && turns_[other].process == turn.process;
        })) {
      return;  // Spins until its peers are there.
    }
    const auto tick = static_cast<uint64_t>(kTick.count());
    pending_.push_back({&c, std::min(tick, c.submitted - c.done)});
  }

  void Tick() {
    for (Process& process : processes_) {
      for (const int card : process.cards) {
        Submit(process, card);
      }
    }
    if (now_ >= look_) {
      Look();
    }
    for (auto& [id, terms] : terms_) {
      for (const CardTerms& card : terms.cards) {
        turns_.try_emplace(card.card);
      }
    }
    for (auto& [index, turn] : turns_) {
      Choose(index);
    }
    for (auto& [index, turn] : turns_) {
      Serve(index);
    }
    for (const auto& [c, work] : pending_) {
      c->done += work;
      if (c->done == c->submitted) {
        Ring();
      }
    }
    pending_.clear();
  }

  Observation See(SeatId id) const {
    Observation seen;
    for (const Process& process : processes_) {
      const auto found = process.on.find(id.card);
      if (process.share != id.share || found == process.on.end()) {
        continue;
      }
      const Process::OnCard& c = found->second;
      const uint64_t finished = process.program.never_drains ? 0 : process.Finished(c);
      seen.waiting = seen.waiting || c.waiting;
      seen.submitted_ns += c.submitted;
      seen.finished_ns += finished;
      seen.in_flight += Nanos(static_cast<int64_t>(c.submitted - finished));
      seen.launch = std::max(seen.launch, process.program.launch);
    }
    seen.busy = seen.submitted_ns > seen.finished_ns;
    return seen;
  }

  void Look() {
    ++looks_;
    look_ = Nanos::max();
    for (int round = 0; round < 8; ++round) {
      for (const auto& [id, grant] : told_) {
        arbiter_->Observe(id, See(id), now_);
      }
      const Decision decision = arbiter_->Step(now_);
      for (const Grant& grant : decision.grants) {
        told_[grant.seat] = grant;
        new_grants_ += grant.fresh ? 1 : 0;
      }
      if (!decision.wake) {
        return;
      }
      if (*decision.wake > now_) {
        look_ = *decision.wake + kLatency;
        return;
      }
    }
    look_ = now_ + kTick;
  }

  struct Turn {
    size_t process = 0;
    Nanos until{0};
    bool busy = false;
  };
  struct Work {
    Process::OnCard* on;
    uint64_t ns;
  };

  ArbiterOptions options_;
  std::unique_ptr<Arbiter> arbiter_;
  std::deque<Process> processes_;
  std::map<ShareId, ShareTerms> terms_;
  std::map<SeatId, Grant> told_;
  std::map<int, Turn> turns_;
  std::vector<Work> pending_;
  ShareId last_ = 0;
  Nanos now_{1'000'000'000};
  Nanos look_{0};
  int64_t looks_ = 0;
  int64_t new_grants_ = 0;
};

}  // namespace sluice::agent::testing
