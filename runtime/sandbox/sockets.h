// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "runtime/sandbox/files.h"

namespace sluice::runtime {

// The longest path that a unix socket's address holds.
inline constexpr size_t kSocketPathMax = 107;

// A stream socket that listens on `path`, mode 0600; replaces what was there. Fails with
// kInvalidArgument for a path that is too long.
Result<Fd> ListenUnix(const std::string& path);

// A stream socket connected to `path`. Fails as connect does.
Result<Fd> ConnectUnix(const std::string& path);

}  // namespace sluice::runtime
