// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "store/store.h"

namespace sluice::store::internal {

// One object written or deleted by a commit that has succeeded.
struct Change {
  std::shared_ptr<const Object> object;  // `version` is the commit's.
  bool deleted = false;
};

// Objects by kind and id, the newest revision, and the latest changes for watchers: what every
// store of this folder answers from. One thread at a time; SharedIndex adds the lock.
class Index {
 public:
  // History is cut, by whole commits, when it holds more than this. More: a watcher may be away
  // longer; it costs the memory.
  static constexpr size_t kHistoryEventsMax = 16'384;
  static constexpr size_t kHistoryBytesMax = size_t{16} << 20;

  // For loading: takes an object as it is, without history.
  void Load(Object object);
  // For loading: the newest revision. Watches may begin here, not before.
  void Begin(uint64_t version);

  std::shared_ptr<const Object> Find(Kind kind, std::string_view id) const;
  std::vector<std::shared_ptr<const Object>> List(Kind kind,
                                                  std::string_view after,
                                                  size_t limit) const;

  // Takes over a commit. `keep` says whether objects of a kind are held here or only in history.
  // Requires: version > the newest one.
  void Apply(uint64_t version, std::vector<Change> changes, bool (*keep)(Kind));

  uint64_t version() const { return version_; }

  // Whether history reaches back to everything after `version`, and `version` has happened.
  bool CanResume(uint64_t version) const { return version >= floor_ && version <= version_; }
  // Requires: CanResume(version). An empty `kinds` is all.
  std::vector<Change> After(uint64_t version, std::span<const Kind> kinds) const;

 private:
  using Objects = std::map<std::string, std::shared_ptr<const Object>, std::less<>>;

  void CutHistory();

  std::array<Objects, kKindCount> objects_;
  std::deque<Change> history_;  // Oldest first.
  size_t history_bytes_ = 0;
  uint64_t version_ = 0;
  uint64_t floor_ = 0;  // History holds every change after this revision.
};

// Shared, so that a watch may outlive the store.
using SharedIndex = std::shared_ptr<Guarded<Index>>;

std::unique_ptr<Watch> MakeWatch(SharedIndex index, uint64_t version, std::vector<Kind> kinds);

// The objects themselves, copied outside the lock.
std::vector<Object> Copy(const std::vector<std::shared_ptr<const Object>>& objects);

Error NoSuchObject(Kind kind, std::string_view id);

// Whether `write.expected` holds for an object that is at `version` now (0: not there). Fails with
// kAborted and a sentence that names the object.
Result<void> CheckExpected(const Write& write, uint64_t version);

// Ends the process when a caller breaks Commit's preconditions.
void CheckWrites(std::span<const Write> writes);

}  // namespace sluice::store::internal
