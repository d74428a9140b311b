// SPDX-License-Identifier: Apache-2.0
// What the hub shows to whom. Each piece is written once for all who may see the same.
#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "portal/internal/audit_view.h"
#include "portal/internal/event_hub.h"

namespace sluice::portal {

using store::Kind;

std::vector<EventHub::Change> EventHub::Changes(const std::vector<store::Event>& events, App& app) {
  // The newest change of each object; a claim's change is one of its desktop as well, whose
  // allocation it shows.
  std::map<std::pair<Kind, std::string>, Change> newest;
  const auto note = [&newest](Change change) {
    auto key = std::pair(change.kind, change.id);
    newest[std::move(key)] = std::move(change);
  };
  for (const store::Event& event : events) {
    const bool shown = std::ranges::any_of(
        kTopics, [&](const TopicRow& row) { return row.kind == event.object.kind; });
    if (!shown) continue;
    note({event.object.kind, event.object.id, event.version, event.deleted});
    if (event.object.kind != Kind::kClaim || event.deleted) continue;
    const auto claim = app.objects.Get<Claim>(event.object.id);
    if (!claim || (*claim)->value.owner_kind != ClaimOwner::kDesktop) continue;
    const std::string& desktop = (*claim)->value.desktop.text();
    const auto found = newest.find({Kind::kDesktop, desktop});
    if (found != newest.end() && found->second.deleted) continue;
    note({Kind::kDesktop, desktop, event.version, false});
  }
  std::vector<Change> changes;
  for (auto& [key, change] : newest) changes.push_back(std::move(change));
  // By version, so that whoever resumes from any of them has seen all before it.
  std::ranges::stable_sort(changes, {}, &Change::version);
  return changes;
}

void EventHub::Show(State& state, const Change& change, std::vector<Subscriber*> to, View& view) {
  const auto topic = std::ranges::find(kTopics, change.kind, &TopicRow::kind);
  std::erase_if(to, [&](const Subscriber* one) { return (one->topics & topic->bit) == 0; });
  if (to.empty()) return;
  Piece piece;
  switch (change.kind) {
    case Kind::kDesktop:
      ShowDesktop(state, change, to, view);
      return;
    case Kind::kGpu:
      ShowGpu(change, to, view);
      return;
    case Kind::kClaim:
      piece = MakePiece(
          "queue", change.version, fmt::format("{{\"resource_version\":{}}}", change.version));
      break;
    case Kind::kUser: {
      const auto user = app_.objects.Get<User>(change.id);
      if (change.deleted || !user) {
        piece = DeletedPiece("user", change.id, change.version);
        break;
      }
      JsonWriter json;
      json.BeginObject();
      WriteUserMembers(json, (*user)->value, (*user)->version);
      json.EndObject();
      piece = MakePiece("user", change.version, json.text());
      break;
    }
    case Kind::kAudit: {
      const auto object = app_.store.Get(Kind::kAudit, change.id);
      const auto row =
          object ? DecodeAuditRow(object->body) : Result<AuditRow>(Fail(Code::kNotFound, "no row"));
      if (!row) return;
      JsonWriter json;
      WriteAuditRow(json, *row);
      piece = MakePiece("audit", change.version, json.text());
      break;
    }
    default:
      return;
  }
  for (Subscriber* subscriber : to) (void)subscriber->stream->Write(piece);
}

void EventHub::ShowDesktop(State& state,
                           const Change& change,
                           std::vector<Subscriber*>& to,
                           View& view) {
  const auto desktop = app_.objects.Get<Desktop>(change.id);
  const auto known = state.owners.find(change.id);
  const UserId owner = desktop                       ? (*desktop)->value.owner
                       : known != state.owners.end() ? known->second
                                                     : UserId();
  std::erase_if(to, [&owner](const Subscriber* one) {
    return !one->caller.SeesAll() && one->caller.user.id != owner;
  });
  if (to.empty()) return;
  const Piece piece = desktop ? MakePiece("desktop", change.version, view.Json(**desktop))
                              : DeletedPiece("desktop", change.id, change.version);
  for (Subscriber* subscriber : to) (void)subscriber->stream->Write(piece);
}

void EventHub::ShowGpu(const Change& change, std::vector<Subscriber*>& to, View& view) {
  const auto gpu = app_.objects.Get<Gpu>(change.id);
  if (!gpu) {
    const Piece piece = DeletedPiece("gpu", change.id, change.version);
    for (Subscriber* subscriber : to) (void)subscriber->stream->Write(piece);
    return;
  }
  // Operators see all names; who holds a share of the card sees his own; the rest see none.
  std::set<UserId> holders;
  for (const Share& share : (*gpu)->value.shares) {
    if (const auto claim = app_.objects.Get<Claim>(share.claim.text())) {
      holders.insert((*claim)->value.user);
    }
  }
  std::map<std::string, Piece> pieces;
  for (Subscriber* subscriber : to) {
    const Caller& caller = subscriber->caller;
    const bool holds = holders.contains(caller.user.id);
    const std::string seen_by = caller.SeesAll() ? "*" : holds ? caller.user.id.text() : "";
    Piece& piece = pieces[seen_by];
    if (piece == nullptr) {
      JsonWriter json;
      view.Write(json, **gpu, seen_by.empty() ? nullptr : &caller);
      piece = MakePiece("gpu", change.version, json.text());
    }
    (void)subscriber->stream->Write(piece);
  }
}

void EventHub::ShowAgain(const DesktopId& desktop) {
  state_.With([&](State& state) {
    std::vector<Subscriber*> to;
    for (Subscriber& subscriber : state.subscribers) to.push_back(&subscriber);
    View view(app_);
    Show(state, {Kind::kDesktop, desktop.text(), 0, false}, std::move(to), view);
  });
}

void EventHub::ShowUsage(State& state, View&) {
  const auto desktops = app_.objects.List<Desktop>();
  if (!desktops) return;
  for (const auto& stored : desktops->objects) {
    const Desktop& desktop = stored->value;
    if (!IsRunning(desktop.state) || desktop.claim.empty()) continue;
    JsonWriter load;
    WriteLoad(load, app_.usage.Of(desktop.claim));
    std::string& shown = state.usage_shown[desktop.id.text()];
    if (shown == load.text()) continue;
    shown = load.text();
    JsonWriter json;
    json.BeginObject().Field("desktop_id", desktop.id.text()).Key("usage").Raw(load.text());
    json.EndObject();
    const Piece piece = MakePiece("usage", 0, json.text());
    for (Subscriber& subscriber : state.subscribers) {
      const bool sees = subscriber.caller.SeesAll() || subscriber.caller.user.id == desktop.owner;
      if (sees && (subscriber.topics & kTopicDesktops) != 0) (void)subscriber.stream->Write(piece);
    }
  }
}

void EventHub::ShowCards(State& state, View& view) {
  const auto cards = app_.agent.Cards();
  const auto gpus = app_.objects.List<Gpu>();
  if (!cards || !gpus) return;
  for (const auto& gpu : gpus->objects) {
    const auto card = std::ranges::find(
        *cards, gpu->value.id, [](const agent::CardState& one) { return one.gpu.id; });
    if (card == cards->end()) continue;
    std::string now = fmt::format("{} {} {}",
                                  card->use.memory_used.value(),
                                  card->use.utilization_percent,
                                  card->use.temperature_c);
    for (const Share& share : gpu->value.shares) {
      const auto load = app_.usage.Of(share.claim);
      now += fmt::format(
          " {}:{}:{}", share.claim.text(), load ? load->used.value() : -1, load && load->busy());
    }
    std::string& shown = state.gpus_shown[gpu->value.id.text()];
    if (shown == now) continue;
    shown = std::move(now);
    std::vector<Subscriber*> to;
    for (Subscriber& subscriber : state.subscribers) to.push_back(&subscriber);
    Show(state, {Kind::kGpu, gpu->value.id.text(), 0, false}, std::move(to), view);
  }
}

// A place in the queue changes without any change of the desktop's own row.
void EventHub::ShowPlaces(State& state, View& view) {
  const auto desktops = app_.objects.List<Desktop>();
  if (!desktops) return;
  for (const auto& stored : desktops->objects) {
    const Desktop& desktop = stored->value;
    if (desktop.state != DesktopState::kQueued || desktop.claim.empty()) continue;
    const auto place = app_.control.PlaceInQueue(desktop.claim);
    if (!place) continue;
    std::string now =
        fmt::format("{} {} {} {} {} {}",
                    place->summary,
                    place->position,
                    place->waiting,
                    place->reason,
                    place->next_likely.value_or(TimePoint()).time_since_epoch().count(),
                    place->start.likely.value_or(TimePoint()).time_since_epoch().count());
    std::string& shown = state.places_shown[desktop.id.text()];
    if (shown == now) continue;
    shown = std::move(now);
    std::vector<Subscriber*> to;
    for (Subscriber& subscriber : state.subscribers) to.push_back(&subscriber);
    Show(state, {Kind::kDesktop, desktop.id.text(), 0, false}, std::move(to), view);
  }
}

}  // namespace sluice::portal
