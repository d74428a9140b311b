// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

// For test programs, here and in other folders, that put work on simulated cards by the driver's
// own calls.
namespace sluice::shim {

// A kernel that takes as many microseconds as its argument says.
inline constexpr char kSleepPtx[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry sluice_sleep_us(.param .u64 us) { ret; }\n";

// Calls a function of the driver, which is loaded with its names for everybody. A failure ends the
// program with a line that says so.
template <typename... Arguments>
void Call(const char* name, Arguments... arguments) {
  void* const found = dlsym(RTLD_DEFAULT, name);
  const int code =
      found == nullptr ? -1 : reinterpret_cast<int (*)(Arguments...)>(found)(arguments...);
  if (code != 0) {
    std::printf("%s: %d\n", name, code);
    std::fflush(stdout);
    std::_Exit(1);
  }
}

}  // namespace sluice::shim
