// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

// Traces of clusters and what was asked of them, as files give them: CSV or space-separated text,
// plain or gzip. Columns are found by name in the first row, in any order; columns that are not
// named here are ignored. A value that breaks its bounds is kInvalidArgument, with file, line,
// number and name of the column. See ForEachRow (internal/rows.h) for the other failures.
namespace sluice::sim {

// A machine. Columns sn, cpu_milli, memory_mib, gpu, model.
struct TraceNode {
  std::string name;
  int64_t cpu_milli = 0;   // 1/1000 core.
  int64_t memory_mib = 0;  // Main memory, MiB.
  int gpus = 0;            // Cards, 0 to 64.
  std::string model;       // Of the cards; empty on a machine without any.
};

// A request. Columns name, cpu_milli, memory_mib, num_gpu, gpu_milli, and where there:
// gpu_core_milli (ours, not of the published lists), gpu_spec, qos, pod_phase, creation_time,
// deletion_time, scheduled_time.
struct TracePod {
  std::string name;
  int64_t cpu_milli = 0;   // 1/1000 core.
  int64_t memory_mib = 0;  // Main memory, MiB.
  int gpus = 0;            // Cards, 0 to 64.
  int gpu_milli = 0;       // Of each card, 1 to 1000; below 1000 only for one card; 0 without any.
  int core_milli = 0;      // Guaranteed compute of each card, 0 to 1000.
  std::vector<std::string> models;  // Accepted; sorted, each once; empty = any.
  std::string qos;
  std::string phase;
  // Seconds since the start of the trace; nullopt where the file does not say.
  std::optional<int64_t> created_s;
  std::optional<int64_t> deleted_s;
  std::optional<int64_t> scheduled_s;
};

// One seed's order: rows of the pod list as they arrive (a row may come more than once), and rows
// of the node list in the order that breaks ties, first wins. Counted from 0.
struct ArrivalOrder {
  uint64_t seed = 0;
  std::vector<int32_t> pods;
  std::vector<int32_t> nodes;
};

// A published curve: values in percent at arrived loads in percent of capacity, as in `loads`.
struct PublishedCurve {
  std::string metric;  // alloc_pct, frag_ratio_pct or frag_amount_pct.
  std::string workload;
  std::string policy;  // E.g. "06-FGD".
  uint64_t seed = 0;
  std::vector<double> values;  // As many as `loads`; NaN where the file is empty.
};
struct Published {
  std::vector<int> loads;
  std::vector<PublishedCurve> curves;
};

// What the list readers take at most; a file with more rows is kResourceExhausted. ForEachPod has
// no such limit and needs the same memory for any length.
inline constexpr size_t kTraceRowsMax = 2'000'000;

Result<void> ForEachPod(const std::string& path,
                        const std::function<Result<void>(const TracePod&)>& on_pod);
Result<std::vector<TraceNode>> ReadNodes(const std::string& path);
Result<std::vector<TracePod>> ReadPods(const std::string& path);
// Two rows per seed: `pods SEED r r r …`, `nodes SEED r r r …`, in any order of seeds. Each number
// must be below the count given; a seed without one of its rows is kInvalidArgument.
struct RowCounts {
  size_t pods = 0;
  size_t nodes = 0;
};
Result<std::vector<ArrivalOrder>> ReadOrders(const std::string& path, RowCounts counts);
Result<Published> ReadPublished(const std::string& path);

// One variant of the openb data set. `orders` is empty where none was published for it.
struct Variant {
  std::string name;
  std::vector<TraceNode> nodes;
  std::vector<TracePod> pods;
  std::vector<ArrivalOrder> orders;
};

// The folder of the openb data set: `given` if not empty, else $SLUICE_OPENB, else
// shared/data/openb in the working folder or the nearest folder above it that has one. kNotFound,
// with the places looked at, if there is none.
Result<std::string> FindOpenb(const std::string& given);
// Fails as the readers do. gpuspec variants keep the pods of `default` in its order, so they use
// its arrival orders.
Result<Variant> ReadVariant(const std::string& folder, const std::string& name);

// Orders for a list that has none published: shuffles the pods by `seed`, then adds drawn copies
// (or stops early) at `load_percent` of the capacity in cards, as the published orders do; and
// shuffles the nodes. The same arguments give the same order everywhere; it is not the order that
// the authors' generator would give.
struct DrawOptions {
  uint64_t seed = 42;
  int load_percent = 130;
};
ArrivalOrder DrawOrder(const std::vector<TraceNode>& nodes,
                       const std::vector<TracePod>& pods,
                       DrawOptions options);

}  // namespace sluice::sim
