// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/guarded.h"
#include "net/http.h"
#include "portal/internal/app.h"
#include "portal/internal/event_text.h"
#include "portal/internal/gateway.h"
#include "portal/internal/view.h"

namespace sluice::portal {

// Turns the store's changes into server-sent events. One thread watches; each event is written to
// text once for everybody who may see the same of it. It also does what must follow a change at
// once: ends streams of sessions that ended, tells the screens of desktops that stop, answers runs
// that wait. Thread-safe.
class EventHub {
 public:
  EventHub(App& app, Gateway& gateway);
  ~EventHub();

  void Start();
  // Ends the thread, closes the streams, answers who waits. Safe to repeat.
  void Stop();

  struct Subscription {
    Caller caller;
    unsigned topics = 0;
    std::optional<uint64_t> last_seen;  // Revision; nullopt: from now on.
    std::shared_ptr<net::ResponseStream> stream;
  };
  // Whether one more stream of this user is within the limits.
  bool HasRoomFor(const UserId& user);
  void Subscribe(Subscription subscription);

  // Answers a GET of a run when it changes, or at the deadline.
  struct RunWaiter {
    Admitted admitted;
    net::Request request;
    std::shared_ptr<net::Responder> responder;
    Duration deadline;
    std::string before;  // The RunMark() that the caller has seen, or of when the wait began.
  };
  // False, with the waiter left as it was: too many wait, or the run has changed since `before`.
  bool WaitForRun(RunWaiter& waiter);
  // The run's RunMark(), which a waiter waits for a change of; empty when it need not wait.
  std::string RunSignature(const std::string& claim);

  // Shows a desktop again whose viewers changed.
  void ShowAgain(const DesktopId& desktop);

  size_t streams() const;

 private:
  struct Subscriber {
    Caller caller;
    unsigned topics = 0;
    uint64_t sent_through = 0;
    std::shared_ptr<net::ResponseStream> stream;
  };
  struct State {
    std::vector<Subscriber> subscribers;
    uint64_t version = 0;                  // Everything up to here was shown to the subscribers.
    std::map<std::string, UserId> owners;  // Of desktops, also of those deleted lately.
    std::map<std::string, std::string> usage_shown;   // By desktop.
    std::map<std::string, std::string> gpus_shown;    // By card.
    std::map<std::string, std::string> places_shown;  // By desktop that waits.
    std::map<std::string, DesktopState> states;       // By desktop.
    std::map<std::string, TimePoint> notices;         // By claim: told that it ends or moves then.
    std::vector<RunWaiter> waiters;
  };
  // One change on its way to the subscribers.
  struct Change {
    store::Kind kind = store::Kind::kSetting;
    std::string id;
    uint64_t version = 0;  // 0: not a change of the store; sent without an id.
    bool deleted = false;
  };

  void Run(const std::stop_token& stop);
  void HandleEvents(const std::vector<store::Event>& events);
  void HandleConsequences(State& state, const store::Event& event);
  void TellNotice(State& state, const store::Event& event);
  void Tick(Duration now);
  void Heartbeat();
  void ResetAll(State& state);

  static std::vector<Change> Changes(const std::vector<store::Event>& events, App& app);
  void Show(State& state, const Change& change, std::vector<Subscriber*> to, View& view);
  void ShowDesktop(State& state, const Change& change, std::vector<Subscriber*>& to, View& view);
  void ShowGpu(const Change& change, std::vector<Subscriber*>& to, View& view);
  void ShowUsage(State& state, View& view);
  void ShowCards(State& state, View& view);
  void ShowPlaces(State& state, View& view);
  void CatchUp(State& state, Subscriber& subscriber, uint64_t from);
  void EndStreams(State& state, const std::function<bool(const Caller&)>& whose);
  std::vector<RunWaiter> TakeReadyWaiters(State& state, Duration now);
  void AnswerWaiters(std::vector<RunWaiter> waiters);

  App& app_;
  Gateway& gateway_;
  Guarded<State> state_;
  Guarded<std::shared_ptr<store::Watch>> watch_;  // Renewed by the thread, cancelled by Stop().
  std::jthread thread_;
};

}  // namespace sluice::portal
