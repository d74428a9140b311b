// SPDX-License-Identifier: Apache-2.0
#include "store/memory.h"

#include <utility>

#include "store/internal/index.h"

namespace sluice::store {
namespace {

using internal::Change;
using internal::Index;

bool KeepAll(Kind) {
  return true;
}

uint64_t VersionOf(const Index& index, const Write& write) {
  const auto object = index.Find(write.kind, write.id);
  return object == nullptr ? 0 : object->version;
}

// Thread-safe.
class MemoryStore final : public Store {
 public:
  Result<Object> Get(Kind kind, std::string_view id) override {
    const auto object = index_->With([&](const Index& index) { return index.Find(kind, id); });
    if (object == nullptr) return Fail(internal::NoSuchObject(kind, id));
    return *object;
  }

  Result<Listing> List(Kind kind, std::string_view after, size_t limit) override {
    uint64_t version = 0;
    const auto listed = index_->With([&](const Index& index) {
      version = index.version();
      return index.List(kind, after, limit);
    });
    return Listing{internal::Copy(listed), version};
  }

  Result<uint64_t> Commit(std::span<const Write> writes) override {
    internal::CheckWrites(writes);
    return index_->Change([&](Index& index) { return CommitTo(index, writes); });
  }

  std::unique_ptr<Watch> WatchFrom(uint64_t version, std::vector<Kind> kinds) override {
    return internal::MakeWatch(index_, version, std::move(kinds));
  }

  uint64_t Version() override {
    return index_->With([](const Index& index) { return index.version(); });
  }

 private:
  static Result<uint64_t> CommitTo(Index& index, std::span<const Write> writes) {
    if (writes.empty()) return index.version();
    for (const Write& write : writes) {
      const auto held = internal::CheckExpected(write, VersionOf(index, write));
      if (!held) return Fail(held.error());
    }
    const uint64_t version = index.version() + 1;
    std::vector<Change> changes;
    for (const Write& write : writes) {
      if (!write.body && VersionOf(index, write) == 0) continue;
      Object object{write.kind, write.id, version, write.body.value_or("")};
      changes.push_back({std::make_shared<const Object>(std::move(object)), !write.body});
    }
    index.Apply(version, std::move(changes), KeepAll);
    return version;
  }

  const internal::SharedIndex index_ = std::make_shared<Guarded<Index>>();
};

}  // namespace

std::unique_ptr<Store> OpenMemory() {
  return std::make_unique<MemoryStore>();
}

}  // namespace sluice::store
