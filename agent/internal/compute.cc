// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/compute.h"

#include <algorithm>
#include <ctime>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <utility>

#include "base/log.h"

namespace sluice::agent {

using namespace std::chrono_literals;

namespace {

// Four in the time after which a share takes the agent for dead.
constexpr Nanos kBeatEvery = region::kAgentSilentMs * 1ms / 4;

// Each round acts on what the one before has changed; more would be a fault of the arbiter's, and
// the timer goes on with it.
constexpr int kRoundsMax = 8;

// A grant that comes late is the card standing still: before ordinary threads, where allowed.
constexpr int kNice = -10;

// What a share that is slowed down may have of a card at most: enough to save one's work. More:
// less of a loss to who goes round the ledger. Less: its other programs seem to stand still.
constexpr uint32_t kThrottledMillis = 50;

// Events of epoll; shares' bells are kBellEvent + their number.
constexpr uint64_t kPokeEvent = 0;
constexpr uint64_t kTimerEvent = 1;
constexpr uint64_t kBellEvent = 2;

// Of the clock by which grants end.
Nanos Now() {
  timespec time = {};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return std::chrono::seconds(time.tv_sec) + Nanos(time.tv_nsec);
}

bool Watch(const File& epoll, int operation, int file, uint64_t number, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = number;
  return epoll_ctl(epoll.get(), operation, file, &event) == 0;
}

void Drain(const File& file) {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(file.get(), &count, sizeof(count));
}

}  // namespace

Compute::Compute(const ArbiterOptions& options) : state_(options) {}

Result<std::unique_ptr<Compute>> Compute::Start(const ArbiterOptions& options) {
  std::unique_ptr<Compute> compute(new Compute(options));
  if (auto opened = compute->Open(); !opened) {
    return Fail(opened.error());
  }
  return compute;
}

Result<void> Compute::Open() {
  epoll_ = File(epoll_create1(EPOLL_CLOEXEC));
  poke_ = File(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  timer_ = File(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!epoll_ || !poke_ || !timer_ ||
      !Watch(epoll_, EPOLL_CTL_ADD, poke_.get(), kPokeEvent, EPOLLIN) ||
      !Watch(epoll_, EPOLL_CTL_ADD, timer_.get(), kTimerEvent, EPOLLIN)) {
    return Fail(Code::kResourceExhausted, "no file descriptors left");
  }
  thread_ = std::jthread([this] { Run(); });
  return {};
}

Compute::~Compute() {
  state_.With([&](State&) { stop_ = true; });
  Poke();
}

void Compute::Poke() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(poke_.get(), &one, sizeof(one));
}

ShareTerms Compute::TermsOf(State& state, Member& member) {
  ShareTerms terms;
  member.cards.clear();
  for (size_t i = 0; i < member.share->device_count(); ++i) {
    const int next = static_cast<int>(state.cards.size());
    member.cards.push_back(state.cards.try_emplace(member.share->GpuText(i), next).first->second);
    terms.cards.push_back(member.share->TermsOf(i));
    CardTerms& card = terms.cards.back();
    card.card = member.cards.back();
    if (member.rules.throttled && (card.cap_millis == 0 || card.cap_millis > kThrottledMillis)) {
      card.cap_millis = kThrottledMillis;
    }
  }
  terms.priority = member.rules.priority;
  return terms;
}

Result<void> Compute::Join(const ClaimId& claim, const std::string& folder) {
  auto joined = state_.With([&](State& state) -> Result<void> {
    const auto found = state.members.find(claim);
    std::unique_ptr<ComputeShare> opened;
    if (found == state.members.end() || !found->second.share->IsCurrent(folder)) {
      auto share = ComputeShare::Open(folder);
      if (!share) {
        return Fail(share.error());
      }
      opened = std::move(*share);
    }
    // A member always has its share.
    Member& member = state.members[claim];
    if (opened != nullptr) {
      if (member.share != nullptr) {
        Watch(epoll_, EPOLL_CTL_DEL, member.share->bell(), 0, 0);
      }
      member.share = std::move(opened);
      member.id = member.id == 0 ? ++state.last_id : member.id;
      state.by_id[member.id] = &member;
      Watch(epoll_, EPOLL_CTL_ADD, member.share->bell(), kBellEvent + member.id, EPOLLIN);
    }
    const Nanos now = Now();
    state.arbiter.Join(member.id, TermsOf(state, member), now);
    member.share->Beat(now);
    // Before the share's first program can start, its page says what it may do.
    Look(state);
    return {};
  });
  Poke();
  return joined;
}

void Compute::Leave(const ClaimId& claim) {
  state_.With([&](State& state) {
    const auto found = state.members.find(claim);
    if (found == state.members.end()) {
      return;
    }
    state.arbiter.Leave(found->second.id, Now());
    state.by_id.erase(found->second.id);
    state.members.erase(found);
  });
  Poke();
}

void Compute::Sampled(const ClaimId& claim, size_t device, int percent) {
  state_.With([&](State& state) {
    const auto found = state.members.find(claim);
    if (found == state.members.end() || device >= found->second.cards.size()) {
      return;
    }
    Member& member = found->second;
    const Nanos now = Now();
    member.share->Sampled(device, percent, now);
    if (const auto seen = member.share->TakeSeen(device, now)) {
      const SeatId seat{member.id, member.cards[device]};
      const Nanos excess = state.arbiter.Correct(seat, seen->busy, seen->window, now);
      if (excess > Nanos(0)) {
        Warn(claim, member, device, excess, now);
      }
    }
  });
}

void Compute::Govern(const ClaimId& claim, const Rules& rules) {
  state_.With([&](State& state) {
    const auto found = state.members.find(claim);
    if (found == state.members.end() || found->second.rules == rules) {
      return;
    }
    Member& member = found->second;
    member.rules = rules;
    state.arbiter.Join(member.id, TermsOf(state, member), Now());
  });
  Poke();
}

// A program that goes round the interposer does so for long: once a minute is enough.
void Compute::Warn(const ClaimId& claim, Member& member, size_t device, Nanos excess, Nanos now) {
  constexpr Nanos kWarnEvery = 60s;
  if (member.warned >= 0ns && now - member.warned < kWarnEvery) {
    return;
  }
  member.warned = now;
  Log(LogLevel::kWarning,
      "share {}: the driver saw it use {} for {} ms more than it had the card; it is charged for "
      "that",
      claim.text(),
      member.share->GpuText(device),
      excess / 1ms);
}

void Compute::Observe(State& state, Nanos now) {
  for (auto& [claim, member] : state.members) {
    for (size_t i = 0; i < member.cards.size(); ++i) {
      state.arbiter.Observe({member.id, member.cards[i]}, member.share->Read(i), now);
    }
  }
}

void Compute::Beat(State& state, Nanos now) {
  for (auto& [claim, member] : state.members) {
    member.share->Beat(now);
    for (size_t i = 0; i < member.cards.size(); ++i) {
      if (const auto account = state.arbiter.AccountOf({member.id, member.cards[i]})) {
        member.share->Publish(i, *account, now);
      }
    }
  }
  state.next_beat = now + kBeatEvery;
}

std::optional<Nanos> Compute::Look(State& state) {
  if (state.members.empty()) {
    return std::nullopt;
  }
  Nanos wake = Now();
  for (int round = 0; round < kRoundsMax; ++round) {
    const Nanos now = Now();
    Observe(state, now);
    const Decision decision = state.arbiter.Step(now);
    for (const Grant& grant : decision.grants) {
      const auto member = state.by_id.find(grant.seat.share);
      if (member == state.by_id.end()) {
        continue;
      }
      const std::vector<int>& cards = member->second->cards;
      const auto place = std::ranges::find(cards, grant.seat.card);
      if (place != cards.end()) {
        member->second->share->Tell(static_cast<size_t>(place - cards.begin()), grant);
      }
    }
    if (now >= state.next_beat) {
      Beat(state, now);
    }
    wake = std::min(decision.wake.value_or(state.next_beat), state.next_beat);
    if (wake > now) {
      break;
    }
  }
  return wake;
}

void Compute::Listen(State& state, ShareId id, Nanos now) {
  const auto member = state.by_id.find(id);
  if (member == state.by_id.end()) {
    return;
  }
  ComputeShare& share = *member->second->share;
  if (share.Listen(now)) {
    Watch(epoll_, EPOLL_CTL_MOD, share.bell(), kBellEvent + id, 0);
  }
}

// To the bells that were ringing without pause. Returns when the next such is to be heard again.
std::optional<Nanos> Compute::ListenAgain(State& state, Nanos now) {
  std::optional<Nanos> next;
  for (auto& [claim, member] : state.members) {
    const Nanos until = member.share->muted_until();
    if (until == Nanos(0)) {
      continue;
    }
    if (until <= now) {
      member.share->Unmute();
      Watch(epoll_, EPOLL_CTL_MOD, member.share->bell(), kBellEvent + member.id, EPOLLIN);
    } else {
      next = next ? std::min(*next, until) : until;
    }
  }
  return next;
}

void Compute::SetTimer(std::optional<Nanos> at) {
  itimerspec spec = {};
  if (at) {
    // Zero would stop it.
    const Nanos when = std::max(*at, Nanos(1));
    spec.it_value.tv_sec = static_cast<time_t>(when / 1s);
    spec.it_value.tv_nsec = static_cast<long>((when % 1s).count());
  }
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void Compute::Run() {
  prctl(PR_SET_NAME, "sluice-arbiter", 0, 0, 0);
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);
  epoll_event events[32];
  for (;;) {
    const int count = epoll_wait(epoll_.get(), events, 32, -1);
    const bool stop = state_.With([&](State& state) {
      const Nanos now = Now();
      for (int i = 0; i < count; ++i) {
        const uint64_t number = events[i].data.u64;
        if (number >= kBellEvent) {
          Listen(state, number - kBellEvent, now);
        } else {
          Drain(number == kPokeEvent ? poke_ : timer_);
        }
      }
      std::optional<Nanos> wake = Look(state);
      const auto muted = ListenAgain(state, now);
      SetTimer(muted && wake ? std::min(*muted, *wake) : wake);
      return stop_;
    });
    if (stop) {
      return;
    }
  }
}

}  // namespace sluice::agent
