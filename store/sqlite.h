// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "store/store.h"

namespace sluice::store {

// Opens or creates the store in the SQLite file `path`; "-wal" beside it belongs to it. The file is
// held exclusively until the store is destroyed. Transactions that arrive together share one fsync.
// History for watches begins anew: a watch from before the last start ends with kOutOfRange.
//
// Fails with kUnavailable when the file or its folder cannot be written, kResourceExhausted when
// the disk is full, kFailedPrecondition when another process has it open or a newer Sluice wrote
// it, kDataLoss when it is damaged or not a Sluice store. Nothing is changed then.
Result<std::unique_ptr<Store>> OpenSqlite(const std::string& path);

}  // namespace sluice::store
