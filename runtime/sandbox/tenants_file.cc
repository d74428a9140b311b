// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/tenants_file.h"

#include <cerrno>
#include <fcntl.h>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sys/file.h>

#include "runtime/sandbox/files.h"

namespace sluice::runtime {
namespace {

using Users = std::map<std::string, uint32_t>;

// Held while the file is read and replaced. The file itself is replaced, so the lock is another.
Result<Fd> Lock(const std::string& path) {
  Fd fd(::open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid() || ::flock(fd.get(), LOCK_EX) != 0) {
    return Fail(ErrnoError(errno, "lock " + path));
  }
  return fd;
}

Result<Users> Load(const std::string& path) {
  auto text = ReadFile(path, size_t{16} << 20);
  if (!text && text.error().code == Code::kNotFound) return Users();
  if (!text) return Fail(text.error());
  try {
    return nlohmann::json::parse(*text).get<Users>();
  } catch (const nlohmann::json::exception& broken) {
    return Fail(Code::kDataLoss, path + " is damaged: " + broken.what());
  }
}

Result<void> Store(const std::string& path, const Users& users) {
  return WriteFileAtomic(path, nlohmann::json(users).dump(1) + "\n", 0600);
}

}  // namespace

Result<uint32_t> TenantsFile::UserOf(const std::string& home_id) const {
  const auto lock = Lock(path_);
  if (!lock) return Fail(lock.error());
  auto users = Load(path_);
  if (!users) return Fail(users.error());
  if (const auto known = users->find(home_id); known != users->end()) return known->second;
  std::set<uint32_t> taken;
  for (const auto& [home, uid] : *users) taken.insert(uid);
  for (uint32_t uid = first_; uid - first_ < count_; ++uid) {
    if (taken.contains(uid)) continue;
    users->emplace(home_id, uid);
    if (auto stored = Store(path_, *users); !stored) return Fail(stored.error());
    return uid;
  }
  return Fail(Code::kResourceExhausted, "every host user for homes is taken; remove unused homes");
}

Result<void> TenantsFile::Forget(const std::string& home_id) const {
  const auto lock = Lock(path_);
  if (!lock) return Fail(lock.error());
  auto users = Load(path_);
  if (!users) return Fail(users.error());
  if (users->erase(home_id) == 0) return {};
  return Store(path_, *users);
}

}  // namespace sluice::runtime
