// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "model/claim.h"
#include "model/desktop.h"
#include "model/gpu.h"
#include "model/pool.h"
#include "model/reservation.h"
#include "model/team.h"
#include "model/template.h"
#include "model/user.h"
#include "store/store.h"

// The stored JSON of each model object. Unknown members are ignored and absent ones take their
// default, so that an older program reads what a newer one wrote. Decode fails with kDataLoss and
// names the member.
namespace sluice::store {

template <typename T>
struct KindOf;
template <>
struct KindOf<Gpu> {
  static constexpr Kind kKind = Kind::kGpu;
};
template <>
struct KindOf<Claim> {
  static constexpr Kind kKind = Kind::kClaim;
};
template <>
struct KindOf<Desktop> {
  static constexpr Kind kKind = Kind::kDesktop;
};
template <>
struct KindOf<Template> {
  static constexpr Kind kKind = Kind::kTemplate;
};
template <>
struct KindOf<Pool> {
  static constexpr Kind kKind = Kind::kPool;
};
template <>
struct KindOf<User> {
  static constexpr Kind kKind = Kind::kUser;
};
template <>
struct KindOf<Team> {
  static constexpr Kind kKind = Kind::kTeam;
};
template <>
struct KindOf<PastClaim> {
  static constexpr Kind kKind = Kind::kPastClaim;
};
template <>
struct KindOf<Reservation> {
  static constexpr Kind kKind = Kind::kReservation;
};

std::string Encode(const Gpu& gpu);
std::string Encode(const Claim& claim);
std::string Encode(const Desktop& desktop);
std::string Encode(const Template& value);
std::string Encode(const Pool& pool);
std::string Encode(const User& user);
std::string Encode(const Team& team);
std::string Encode(const PastClaim& past);
std::string Encode(const Reservation& reservation);

template <typename T>
Result<T> Decode(std::string_view json);
template <>
Result<Gpu> Decode<Gpu>(std::string_view json);
template <>
Result<Claim> Decode<Claim>(std::string_view json);
template <>
Result<Desktop> Decode<Desktop>(std::string_view json);
template <>
Result<Template> Decode<Template>(std::string_view json);
template <>
Result<Pool> Decode<Pool>(std::string_view json);
template <>
Result<User> Decode<User>(std::string_view json);
template <>
Result<Team> Decode<Team>(std::string_view json);
template <>
Result<PastClaim> Decode<PastClaim>(std::string_view json);
template <>
Result<Reservation> Decode<Reservation>(std::string_view json);

// A model object and the version it was read at.
template <typename T>
struct Versioned {
  T value;
  uint64_t version = 0;
};

// Reads one object, typed. Fails with kNotFound or kDataLoss.
template <typename T>
Result<Versioned<T>> Read(Store& store, std::string_view id) {
  const auto object = store.Get(KindOf<T>::kKind, id);
  if (!object) return Fail(object.error());
  auto value = Decode<T>(object->body);
  if (!value) return Fail(value.error());
  return Versioned<T>{std::move(*value), object->version};
}

// All objects of a kind, typed, by id.
template <typename T>
Result<std::vector<Versioned<T>>> ReadAll(Store& store) {
  const auto listing = store.List(KindOf<T>::kKind, "", 0);
  if (!listing) return Fail(listing.error());
  std::vector<Versioned<T>> all;
  all.reserve(listing->objects.size());
  for (const Object& object : listing->objects) {
    auto value = Decode<T>(object.body);
    if (!value) return Fail(value.error());
    all.push_back({std::move(*value), object.version});
  }
  return all;
}

// For Commit: keeps a reservation that is over or taken back for the planner's replays.
inline Write PutPast(const Reservation& reservation) {
  return Write{Kind::kPastReservation, reservation.id.text(), std::nullopt, Encode(reservation)};
}

// For Commit: writes `value` if it is still at `expected` (0: must not exist yet).
template <typename T>
Write Put(const T& value, std::optional<uint64_t> expected) {
  return Write{KindOf<T>::kKind, value.id.text(), expected, Encode(value)};
}

}  // namespace sluice::store
