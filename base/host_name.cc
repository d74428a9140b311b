// SPDX-License-Identifier: Apache-2.0
#include "base/host_name.h"

#include <array>
#include <unistd.h>

namespace sluice {

std::string HostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name.front() == '\0') return "localhost";
  return name.data();
}

}  // namespace sluice
