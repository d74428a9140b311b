// SPDX-License-Identifier: Apache-2.0
#include "store/internal/index.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fmt/core.h>
#include <utility>

#include "base/check.h"

namespace sluice::store::internal {
namespace {

size_t SizeBytes(const Change& change) {
  return sizeof(Change) + sizeof(Object) + change.object->id.size() + change.object->body.size();
}

std::vector<Event> ToEvents(std::vector<Change> changes) {
  std::vector<Event> events;
  events.reserve(changes.size());
  for (const Change& change : changes) {
    events.push_back({change.object->version, change.deleted, *change.object});
  }
  return events;
}

// One thread at a time, but for Cancel.
class IndexWatch final : public Watch {
 public:
  IndexWatch(SharedIndex index, uint64_t version, std::vector<Kind> kinds)
      : index_(std::move(index)), kinds_(std::move(kinds)), seen_(version) {}

  Result<std::vector<Event>> Next(Duration at_most) override {
    const auto until = std::chrono::steady_clock::now() + std::clamp(at_most, Duration(0), kDay);
    for (;;) {
      bool lost = false;
      std::vector<Change> changes = index_->With([&](const Index& index) {
        lost = !index.CanResume(seen_);
        if (lost) return std::vector<Change>();
        return index.After(std::exchange(seen_, index.version()), kinds_);
      });
      if (lost) return Lost();
      const auto left = until - std::chrono::steady_clock::now();
      if (!changes.empty()) return ToEvents(std::move(changes));
      if (cancelled_ || left <= left.zero()) return std::vector<Event>();
      index_->WaitFor(
          left, [this](const Index& index) { return cancelled_ || index.version() != seen_; });
    }
  }

  void Cancel() override {
    index_->Change([this](Index&) { cancelled_ = true; });
  }

 private:
  static constexpr Duration kDay{24 * 3'600'000};  // Keeps the deadline from overflowing.

  tl::unexpected<Error> Lost() const {
    return Fail(Code::kOutOfRange,
                fmt::format("changes after revision {} are no longer kept; list again", seen_));
  }

  const SharedIndex index_;
  const std::vector<Kind> kinds_;
  uint64_t seen_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace

void Index::Load(Object object) {
  Objects& objects = objects_[static_cast<size_t>(object.kind)];
  auto shared = std::make_shared<const Object>(std::move(object));
  objects.emplace_hint(objects.end(), shared->id, shared);
}

void Index::Begin(uint64_t version) {
  version_ = version;
  floor_ = version;
}

std::shared_ptr<const Object> Index::Find(Kind kind, std::string_view id) const {
  const Objects& objects = objects_[static_cast<size_t>(kind)];
  const auto found = objects.find(id);
  return found == objects.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<const Object>> Index::List(Kind kind,
                                                       std::string_view after,
                                                       size_t limit) const {
  const Objects& objects = objects_[static_cast<size_t>(kind)];
  std::vector<std::shared_ptr<const Object>> listed;
  listed.reserve(limit == 0 ? objects.size() : std::min(limit, objects.size()));
  for (auto next = objects.upper_bound(after); next != objects.end(); ++next) {
    if (limit != 0 && listed.size() == limit) break;
    listed.push_back(next->second);
  }
  return listed;
}

void Index::Apply(uint64_t version, std::vector<Change> changes, bool (*keep)(Kind)) {
  SLUICE_CHECK(version > version_);
  version_ = version;
  for (Change& change : changes) {
    const Object& object = *change.object;
    SLUICE_CHECK(object.version == version);
    Objects& objects = objects_[static_cast<size_t>(object.kind)];
    if (change.deleted) {
      objects.erase(object.id);
    } else if (keep(object.kind)) {
      objects.insert_or_assign(object.id, change.object);
    }
    history_bytes_ += SizeBytes(change);
    history_.push_back(std::move(change));
  }
  CutHistory();
}

void Index::CutHistory() {
  while (history_.size() > kHistoryEventsMax || history_bytes_ > kHistoryBytesMax) {
    floor_ = history_.front().object->version;
    while (!history_.empty() && history_.front().object->version == floor_) {
      history_bytes_ -= SizeBytes(history_.front());
      history_.pop_front();
    }
  }
}

std::vector<Change> Index::After(uint64_t version, std::span<const Kind> kinds) const {
  SLUICE_CHECK(CanResume(version));
  const auto later = [](uint64_t v, const Change& change) { return v < change.object->version; };
  std::vector<Change> changes;
  for (auto next = std::upper_bound(history_.begin(), history_.end(), version, later);
       next != history_.end();
       ++next) {
    if (kinds.empty() || std::ranges::find(kinds, next->object->kind) != kinds.end()) {
      changes.push_back(*next);
    }
  }
  return changes;
}

std::unique_ptr<Watch> MakeWatch(SharedIndex index, uint64_t version, std::vector<Kind> kinds) {
  return std::make_unique<IndexWatch>(std::move(index), version, std::move(kinds));
}

std::vector<Object> Copy(const std::vector<std::shared_ptr<const Object>>& objects) {
  std::vector<Object> copies;
  copies.reserve(objects.size());
  for (const auto& object : objects) copies.push_back(*object);
  return copies;
}

Error NoSuchObject(Kind kind, std::string_view id) {
  return {Code::kNotFound, fmt::format("{} {} does not exist", ToString(kind), id), {}};
}

Result<void> CheckExpected(const Write& write, uint64_t version) {
  if (!write.expected || *write.expected == version) return {};
  const auto name = fmt::format("{} {}", ToString(write.kind), write.id);
  if (version == 0) return Fail(Code::kAborted, name + " no longer exists");
  if (*write.expected == 0) return Fail(Code::kAborted, name + " exists already");
  return Fail(
      Code::kAborted,
      fmt::format("{} has changed: it is at version {}, not {}", name, version, *write.expected));
}

void CheckWrites(std::span<const Write> writes) {
  std::vector<std::pair<Kind, std::string_view>> names;
  names.reserve(writes.size());
  for (const Write& write : writes) {
    SLUICE_CHECK(!write.id.empty());
    SLUICE_CHECK(static_cast<size_t>(write.kind) < size_t{kKindCount});
    names.emplace_back(write.kind, write.id);
  }
  std::ranges::sort(names);
  SLUICE_CHECK(std::ranges::adjacent_find(names) == names.end());
}

}  // namespace sluice::store::internal
