// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/event_hub.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <iterator>
#include <utility>

#include "base/log.h"

// Locks: state_ is held while control, the agent and the store are asked and while pieces are
// handed to streams (which only queue). None of those calls back into the hub.
namespace sluice::portal {
namespace {

using store::Kind;

constexpr size_t kWaitersMax = 1'000;
constexpr size_t kOwnersMax = 50'000;

bool HasEnded(DesktopState state) {
  return state == DesktopState::kStopping || state == DesktopState::kStopped ||
         state == DesktopState::kFailed || state == DesktopState::kDeleting ||
         state == DesktopState::kSuspended;
}

bool IsInUse(DesktopState state) {
  return state == DesktopState::kReady || state == DesktopState::kConnected ||
         state == DesktopState::kIdleWarned;
}

}  // namespace

EventHub::EventHub(App& app, Gateway& gateway) : app_(app), gateway_(gateway) {}

EventHub::~EventHub() {
  Stop();
}

void EventHub::Stop() {
  if (thread_.joinable()) {
    thread_.request_stop();
    watch_.With([](const auto& watch) { watch->Cancel(); });
    thread_.join();
  }
  auto rest = state_.With([](State& state) { return std::exchange(state, State()); });
  for (const Subscriber& subscriber : rest.subscribers) subscriber.stream->Close();
  AnswerWaiters(std::move(rest.waiters));
}

void EventHub::Start() {
  const uint64_t version = app_.store.Version();
  watch_.With([&](auto& watch) { watch = app_.store.WatchFrom(version, {}); });
  const auto desktops = app_.objects.List<Desktop>();
  state_.With([&](State& state) {
    state.version = version;
    if (!desktops) return;
    for (const auto& desktop : desktops->objects) {
      state.owners[desktop->value.id.text()] = desktop->value.owner;
      state.states[desktop->value.id.text()] = desktop->value.state;
    }
  });
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void EventHub::Run(const std::stop_token& stop) {
  Duration next_tick = app_.clock.Steady();
  Duration next_heartbeat = next_tick + app_.options.heartbeat_every;
  while (!stop.stop_requested()) {
    const Duration wait =
        std::clamp(next_tick - app_.clock.Steady(), Duration(0), app_.options.usage_every);
    const auto watch = watch_.With([](const auto& one) { return one; });
    const auto events = watch->Next(wait);
    if (stop.stop_requested()) return;
    if (!events) {
      // Fell behind the history that is kept: everybody lists again.
      watch_.With([this](auto& one) { one = app_.store.WatchFrom(app_.store.Version(), {}); });
      state_.With([this](State& state) { ResetAll(state); });
    } else if (!events->empty()) {
      HandleEvents(*events);
    }
    const Duration now = app_.clock.Steady();
    if (now >= next_tick) {
      Tick(now);
      next_tick = now + app_.options.usage_every;
    }
    if (now >= next_heartbeat) {
      Heartbeat();
      next_heartbeat = now + app_.options.heartbeat_every;
    }
  }
}

void EventHub::HandleEvents(const std::vector<store::Event>& events) {
  const auto changes = Changes(events, app_);
  const Duration now = app_.clock.Steady();
  auto ready = state_.With([&](State& state) {
    for (const store::Event& event : events) {
      HandleConsequences(state, event);
      state.version = std::max(state.version, event.version);
    }
    if (!state.subscribers.empty()) {
      View view(app_);
      for (const Change& change : changes) {
        std::vector<Subscriber*> to;
        for (Subscriber& subscriber : state.subscribers) {
          if (subscriber.sent_through < change.version) to.push_back(&subscriber);
        }
        Show(state, change, std::move(to), view);
      }
    }
    return TakeReadyWaiters(state, now);
  });
  AnswerWaiters(std::move(ready));
}

// Whoever looks at a desktop that is to stop or to move reads when, and when it is called off.
void EventHub::TellNotice(State& state, const store::Event& event) {
  const auto claim = event.deleted ? Result<Stored<Claim>>(Fail(Code::kNotFound, "deleted"))
                                   : app_.objects.Get<Claim>(event.object.id);
  const TimePoint now = claim ? (*claim)->value.notice_until : TimePoint();
  const auto known = state.notices.find(event.object.id);
  const TimePoint before = known == state.notices.end() ? TimePoint() : known->second;
  if (now == before) return;
  if (now == TimePoint()) {
    state.notices.erase(known);
  } else {
    state.notices[event.object.id] = now;
  }
  if (app_.streams == nullptr || !claim) return;
  const DesktopId& id = (*claim)->value.desktop;
  const auto desktop = app_.objects.Get<Desktop>(id.text());
  if (!desktop) return;
  if (now != TimePoint()) {
    app_.streams->TellStopping(id, now, (*desktop)->value.message);
  } else if (IsInUse((*desktop)->value.state)) {
    app_.streams->Tell(id, "It goes on: what was announced is called off.", "control");
  }
}

// What must happen because of a change, whoever looks.
void EventHub::HandleConsequences(State& state, const store::Event& event) {
  const std::string& id = event.object.id;
  const Kind kind = event.object.kind;
  if (event.deleted && (kind == Kind::kSession || kind == Kind::kToken)) {
    app_.tickets.Revoke(id);
    EndStreams(state, [&id](const Caller& caller) { return caller.session == id; });
    if (app_.streams != nullptr) app_.streams->EndSession(id);
  }
  if (kind == Kind::kUser) {
    const auto user = app_.objects.Get<User>(id);
    const bool gone = !user || (*user)->value.disabled;
    EndStreams(state, [&](const Caller& caller) {
      return caller.user.id.text() == id && (gone || caller.user.role != (*user)->value.role);
    });
    if (gone && app_.streams != nullptr) app_.streams->EndUser(UserId(id));
  }
  if (kind == Kind::kClaim) TellNotice(state, event);
  if (kind != Kind::kDesktop) return;
  if (event.deleted) {
    state.states.erase(id);
    state.usage_shown.erase(id);
    state.places_shown.erase(id);
    if (app_.streams != nullptr) app_.streams->Stopped(DesktopId(id), "The desktop was deleted.");
    return;
  }
  const auto stored = app_.objects.Get<Desktop>(id);
  if (!stored) return;
  const Desktop& desktop = (*stored)->value;
  if (state.owners.size() >= kOwnersMax) state.owners.clear();
  state.owners[id] = desktop.owner;
  const auto before = state.states.find(id);
  if (before != state.states.end() && before->second == desktop.state) return;
  state.states[id] = desktop.state;
  if (app_.streams == nullptr) return;
  if (HasEnded(desktop.state)) app_.streams->Stopped(desktop.id, desktop.reason);
  if (desktop.state == DesktopState::kIdleWarned) {
    app_.streams->TellStopping(
        desktop.id, desktop.state_since + desktop.idle.warn_before, desktop.reason);
  }
}

void EventHub::Tick(Duration now) {
  auto ready = state_.With([&](State& state) {
    unsigned topics = 0;
    for (const Subscriber& subscriber : state.subscribers) topics |= subscriber.topics;
    View view(app_);
    if ((topics & kTopicDesktops) != 0) {
      ShowUsage(state, view);
      ShowPlaces(state, view);
    }
    if ((topics & kTopicGpus) != 0) ShowCards(state, view);
    return TakeReadyWaiters(state, now);
  });
  AnswerWaiters(std::move(ready));
}

void EventHub::Heartbeat() {
  static const Piece beat = std::make_shared<const std::string>(": still here\n\n");
  state_.With([this](State& state) {
    EndStreams(state, [this](const Caller& caller) {
      return !caller.session.empty() && !app_.sessions.StillGood(caller.session);
    });
    std::erase_if(state.subscribers,
                  [](const Subscriber& subscriber) { return !subscriber.stream->Write(beat); });
  });
}

void EventHub::EndStreams(State& state, const std::function<bool(const Caller&)>& whose) {
  std::erase_if(state.subscribers, [&whose](const Subscriber& subscriber) {
    if (!whose(subscriber.caller)) return false;
    subscriber.stream->Close();
    return true;
  });
}

void EventHub::ResetAll(State& state) {
  state.version = app_.store.Version();
  const Piece piece = ResetPiece(state.version);
  for (Subscriber& subscriber : state.subscribers) {
    subscriber.sent_through = state.version;
    (void)subscriber.stream->Write(piece);
  }
}

bool EventHub::HasRoomFor(const UserId& user) {
  return state_.With([&](State& state) {
    std::erase_if(state.subscribers,
                  [](const Subscriber& subscriber) { return subscriber.stream->closed(); });
    const auto own = std::ranges::count_if(
        state.subscribers, [&user](const Subscriber& one) { return one.caller.user.id == user; });
    return state.subscribers.size() < app_.options.event_streams_max &&
           static_cast<size_t>(own) < app_.options.event_streams_per_user;
  });
}

void EventHub::Subscribe(Subscription subscription) {
  state_.With([&](State& state) {
    Subscriber subscriber{.caller = std::move(subscription.caller),
                          .topics = subscription.topics,
                          .sent_through = state.version,
                          .stream = std::move(subscription.stream)};
    // An id without data sets what the browser sends as Last-Event-ID when it comes back.
    const std::string hello = fmt::format(": sluice\nretry: 2000\nid: {}\n\n", state.version);
    if (subscription.last_seen) {
      CatchUp(state, subscriber, *subscription.last_seen);
    } else {
      (void)subscriber.stream->Write(std::make_shared<const std::string>(hello));
    }
    state.subscribers.push_back(std::move(subscriber));
  });
}

void EventHub::CatchUp(State& state, Subscriber& subscriber, uint64_t from) {
  std::vector<store::Event> missed;
  bool reset = from > app_.store.Version();
  const auto watch = app_.store.WatchFrom(from, {});
  while (!reset) {
    auto events = watch->Next(Duration(0));
    if (!events) {
      reset = true;
    } else if (events->empty()) {
      break;
    } else {
      std::ranges::move(*events, std::back_inserter(missed));
      if (missed.back().version >= state.version) break;
    }
  }
  if (reset) {
    (void)subscriber.stream->Write(ResetPiece(state.version));
    return;
  }
  View view(app_);
  for (const Change& change : Changes(missed, app_)) Show(state, change, {&subscriber}, view);
  if (!missed.empty()) subscriber.sent_through = std::max(state.version, missed.back().version);
  (void)subscriber.stream->Write(std::make_shared<const std::string>(
      fmt::format(": caught up\nid: {}\n\n", subscriber.sent_through)));
}

size_t EventHub::streams() const {
  return state_.With([](const State& state) { return state.subscribers.size(); });
}

std::string EventHub::RunSignature(const std::string& id) {
  const auto claim = app_.objects.Get<Claim>(id);
  if (!claim || (*claim)->value.phase != ClaimPhase::kPending) return "";
  const auto place = app_.control.PlaceInQueue((*claim)->value.id);
  return RunMark((*claim)->value, place);
}

bool EventHub::WaitForRun(RunWaiter& waiter) {
  return state_.With([&](State& state) {
    if (state.waiters.size() >= kWaitersMax) return false;
    // A change since the caller looked may have been handled already: nobody would tell of it.
    if (RunSignature(waiter.admitted.id) != waiter.before) return false;
    state.waiters.push_back(std::move(waiter));
    return true;
  });
}

std::vector<EventHub::RunWaiter> EventHub::TakeReadyWaiters(State& state, Duration now) {
  std::vector<RunWaiter> ready;
  std::erase_if(state.waiters, [&](RunWaiter& waiter) {
    const bool over = waiter.deadline <= now || RunSignature(waiter.admitted.id) != waiter.before;
    if (over) ready.push_back(std::move(waiter));
    return over;
  });
  return ready;
}

void EventHub::AnswerWaiters(std::vector<RunWaiter> waiters) {
  for (const RunWaiter& waiter : waiters) {
    waiter.responder->Send(gateway_.Run(waiter.admitted, waiter.request));
  }
}

}  // namespace sluice::portal