// SPDX-License-Identifier: Apache-2.0
#include "control/internal/world.h"

#include <array>
#include <utility>

#include "base/log.h"

namespace sluice::control {
namespace {

using store::Kind;

constexpr std::array kKinds = {Kind::kGpu,
                               Kind::kClaim,
                               Kind::kDesktop,
                               Kind::kPool,
                               Kind::kTeam,
                               Kind::kUser,
                               Kind::kPastClaim,
                               Kind::kReservation};

template <typename T, typename IdType>
void ApplyTo(std::map<IdType, store::Versioned<T>>& rows, const store::Event& event) {
  const IdType id(event.object.id);
  if (event.deleted) {
    rows.erase(id);
    return;
  }
  auto value = store::Decode<T>(event.object.body);
  if (!value) {
    Log(LogLevel::kError,
        "{} {} cannot be read and is left alone: {}",
        store::ToString(event.object.kind),
        event.object.id,
        value.error().message);
    rows.erase(id);
    return;
  }
  rows.insert_or_assign(id, store::Versioned<T>{std::move(*value), event.object.version});
}

void ApplyToPast(PastRuns& past, const store::Event& event) {
  if (event.deleted) return past.Remove(ClaimId(event.object.id));
  if (const auto claim = store::Decode<PastClaim>(event.object.body); claim) past.Add(*claim);
}

}  // namespace

TeamId TeamOf(const World& world, const UserId& user) {
  const auto row = world.users.find(user);
  return row == world.users.end() ? TeamId() : row->second.value.team;
}

Result<void> WorldFollower::Refresh() {
  if (watch_ == nullptr) return Reload();
  auto events = watch_->Next(Duration(0));
  if (!events) {
    watch_.reset();
    if (events.error().code == Code::kOutOfRange) return Reload();
    return Fail(events.error());
  }
  for (const store::Event& event : *events) Apply(event);
  return {};
}

Result<void> WorldFollower::Commit(const std::vector<store::Write>& writes) {
  const auto revision = store_.Commit(writes);
  if (!revision) {
    // The rows have moved on: whoever looks next must see them.
    if (const auto seen = Refresh(); !seen) return Fail(seen.error());
    return Fail(revision.error());
  }
  return Refresh();
}

Result<void> WorldFollower::Reload() {
  World fresh;
  std::swap(world_, fresh);
  // Watch from before the first listing: a change between two listings is then seen twice, which
  // does no harm, and never missed.
  auto watch = store_.WatchFrom(store_.Version(), {kKinds.begin(), kKinds.end()});
  for (const Kind kind : kKinds) {
    auto listing = store_.List(kind, "", 0);
    if (!listing) return Fail(listing.error());
    for (store::Object& object : listing->objects) {
      const uint64_t version = object.version;
      Apply(store::Event{.version = version, .deleted = false, .object = std::move(object)});
    }
  }
  watch_ = std::move(watch);
  return {};
}

void WorldFollower::Apply(const store::Event& event) {
  switch (event.object.kind) {
    case Kind::kGpu:
      return ApplyTo<Gpu>(world_.gpus, event);
    case Kind::kClaim:
      return ApplyTo<Claim>(world_.claims, event);
    case Kind::kDesktop:
      return ApplyTo<Desktop>(world_.desktops, event);
    case Kind::kTeam:
      return ApplyTo<Team>(world_.teams, event);
    case Kind::kUser:
      return ApplyTo<User>(world_.users, event);
    case Kind::kPastClaim:
      return ApplyToPast(world_.past, event);
    case Kind::kReservation:
      return ApplyTo<Reservation>(world_.reservations, event);
    case Kind::kPool:
      return ApplyTo<Pool>(world_.pools, event);
    default:
      return;
  }
}

}  // namespace sluice::control
