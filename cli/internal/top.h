// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/internal/api.h"

namespace sluice::cli {

// The cards, their shares and the queue, drawn anew every second until Ctrl-C; once when asked or
// when nobody watches.
int Top(Api& api, bool once);

}  // namespace sluice::cli
