// SPDX-License-Identifier: Apache-2.0
// A request target, and the same bytes as a Cookie field and a list of tokens.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/utf8.h"
#include "net/internal/target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  namespace internal = sluice::net::internal;
  const std::string_view input(reinterpret_cast<const char*>(data), bytes);
  const auto target = internal::ParseTarget(input);
  if (target) {
    const std::string slashed = target->path + "/";
    const bool escapes = slashed.find("/../") != std::string::npos ||
                         slashed.find("/./") != std::string::npos ||
                         target->path.find("//") != std::string::npos ||
                         target->path.find('\0') != std::string::npos;
    if (target->path.empty() || target->path[0] != '/' || escapes) std::abort();
    if (!sluice::IsUtf8(target->path)) std::abort();
  }
  internal::FindCookie(input, "a");
  internal::HasToken(input, "upgrade");
  return 0;
}
