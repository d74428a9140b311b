// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string_view>

namespace sluice::simgpu {

// Takes names out of the table of symbols of the library that this is linked into, as if it had
// been built without them: nobody finds them by dlsym from then on. To be called while the library
// is being loaded. What a program was linked with is found before that, so a program that was
// linked with too new a driver starts here and would not there.
void HideSymbols(const std::function<bool(std::string_view)>& is_hidden);

}  // namespace sluice::simgpu
