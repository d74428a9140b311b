// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "store/codec.h"
#include "store/store.h"

namespace sluice::portal {

template <typename T>
using Stored = std::shared_ptr<const store::Versioned<T>>;

template <typename T>
struct StoredPage {
  std::vector<Stored<T>> objects;  // By id, ascending.
  uint64_t version = 0;
};

// Typed reads that decode each version of an object once: a list of a thousand desktops is asked
// for again and again, and decoding would be most of its cost. Always as current as the store,
// because the store is asked each time and only the decoding is remembered. Thread-safe.
class Objects {
 public:
  explicit Objects(store::Store& store) : store_(store) {}

  // Fails with kNotFound or kDataLoss.
  template <typename T>
  Result<Stored<T>> Get(std::string_view id) {
    const auto object = store_.Get(store::KindOf<T>::kKind, id);
    if (!object) return Fail(object.error());
    return Decoded<T>(*object);
  }

  // Objects with id > `after`, at most `limit` (0: all).
  template <typename T>
  Result<StoredPage<T>> List(std::string_view after = "", size_t limit = 0) {
    const auto listing = store_.List(store::KindOf<T>::kKind, after, limit);
    if (!listing) return Fail(listing.error());
    StoredPage<T> page{.version = listing->version};
    page.objects.reserve(listing->objects.size());
    for (const store::Object& object : listing->objects) {
      auto decoded = Decoded<T>(object);
      if (!decoded) return Fail(decoded.error());
      page.objects.push_back(std::move(*decoded));
    }
    return page;
  }

 private:
  static constexpr size_t kKeptMax = 20'000;  // Of each kind.

  template <typename T>
  using Kept = Guarded<std::unordered_map<std::string, Stored<T>>>;

  template <typename T>
  Result<Stored<T>> Decoded(const store::Object& object) {
    auto& kept = std::get<Kept<T>>(kept_);
    auto found = kept.With([&](const auto& map) {
      const auto at = map.find(object.id);
      return at != map.end() && at->second->version == object.version ? at->second : nullptr;
    });
    if (found != nullptr) return found;
    auto value = store::Decode<T>(object.body);
    if (!value) return Fail(value.error());
    auto stored = std::make_shared<const store::Versioned<T>>(
        store::Versioned<T>{std::move(*value), object.version});
    kept.With([&](auto& map) {
      if (map.size() >= kKeptMax) map.clear();
      map[object.id] = stored;
    });
    return Stored<T>(std::move(stored));
  }

  store::Store& store_;
  std::tuple<Kept<Gpu>,
             Kept<Claim>,
             Kept<Desktop>,
             Kept<Template>,
             Kept<Pool>,
             Kept<User>,
             Kept<Team>,
             Kept<Reservation>>
      kept_;
};

}  // namespace sluice::portal
