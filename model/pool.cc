// SPDX-License-Identifier: Apache-2.0
#include "model/pool.h"

namespace sluice {

std::string WhyTooSmall(const Pool& pool) {
  return "The smallest share is " + ToText(pool.share_memory_min) +
         ": a program's context on the " + "card is taken to cost " + ToText(kContextMemory) +
         " of it until it was measured.";
}

}  // namespace sluice
