// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sluice {

// Ends the process after writing where and what to stderr. For broken invariants of our own only;
// whatever the world can cause is a Result. Never used in the interposer.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace sluice

// Always on, also in release builds.
#define SLUICE_CHECK(condition)                              \
  do {                                                       \
    if (!(condition)) {                                      \
      ::sluice::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                        \
  } while (false)
