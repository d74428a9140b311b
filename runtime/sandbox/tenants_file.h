// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace sluice::runtime {

// Which host user each home belongs to: a small JSON file, changed under a lock, so that several
// processes may ask at once.
class TenantsFile {
 public:
  TenantsFile(std::string path, uint32_t first, uint32_t count)
      : path_(std::move(path)), first_(first), count_(count) {}

  // The home's user; gives it the lowest free one at the first call. Fails with kResourceExhausted
  // when the range is used up or the disk is full, kDataLoss when the file is damaged.
  Result<uint32_t> UserOf(const std::string& home_id) const;

  // The home is gone: its user may be given away again.
  Result<void> Forget(const std::string& home_id) const;

 private:
  std::string path_;
  uint32_t first_;
  uint32_t count_;
};

}  // namespace sluice::runtime
