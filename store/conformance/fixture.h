// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "store/memory.h"
#include "store/sqlite.h"
#include "store/store.h"

namespace sluice::store {

// A folder of this test's own, removed with its content at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = testing::TempDir() + "/sluice-store-XXXXXX";
    const char* made = mkdtemp(pattern.data());
    if (made == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = made;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// An empty store and what it needs to live.
struct Opened {
  std::unique_ptr<TempFolder> folder;  // Outlives the store.
  std::unique_ptr<Store> store;
};

struct OpenedBy {
  std::string name;
  std::function<Opened()> open;
};

inline std::vector<OpenedBy> EveryStore() {
  return {
      {"Memory",
       [] {
         return Opened{nullptr, OpenMemory()};
       }},
      {"Sqlite",
       [] {
         auto folder = std::make_unique<TempFolder>();
         auto store = OpenSqlite(folder->Path("sluice.db"));
         EXPECT_TRUE(store) << store.error().message;
         return Opened{std::move(folder), std::move(*store)};
       }},
  };
}

}  // namespace sluice::store
