// SPDX-License-Identifier: Apache-2.0
#include "instance/seed.h"

#include <vector>

#include "model/pool.h"
#include "model/template.h"
#include "store/codec.h"

namespace sluice::instance {

Result<void> SeedStore(store::Store& store) {
  std::vector<store::Write> writes;
  Pool pool;
  pool.id = PoolId("shared");
  pool.name = "Shared cards";
  if (const auto row = store.Get(store::Kind::kPool, pool.id.text()); !row) {
    if (row.error().code != Code::kNotFound) return Fail(row.error());
    writes.push_back(store::Put(pool, 0));
  }
  for (const Template& made : BuiltInTemplates()) {
    const auto row = store.Get(store::Kind::kTemplate, made.id.text());
    if (row && row->body == store::Encode(made)) continue;
    writes.push_back(store::Put(made, std::nullopt));
  }
  if (writes.empty()) return {};
  const auto done = store.Commit(writes);
  if (!done) return Fail(done.error());
  return {};
}

}  // namespace sluice::instance
