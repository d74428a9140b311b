// SPDX-License-Identifier: Apache-2.0
#include "sim/trace.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <limits>
#include <map>
#include <string_view>

#include "base/random.h"
#include "sim/internal/rows.h"

namespace sluice::sim {
namespace {

constexpr int64_t kAmountMax = 1'000'000'000;   // Million cores, 954 TiB.
constexpr int64_t kSecondsMax = 4'102'444'800;  // The year 2100, should a trace count from 1970.
constexpr int64_t kGpusMax = 64;

struct Bounds {
  int64_t least = 0;
  int64_t most = 0;
};

// One row under the names of the first one. Keeps the first fault; the fields after it are zero.
class Fields {
 public:
  Fields(const std::string& path, const Row& row, const std::vector<std::string>& names)
      : path_(path), row_(row), names_(names) {
    if (row.fields.size() != names.size()) {
      Refuse(std::min(row.fields.size(), names.size()),
             fmt::format("{} columns where the first row has {}", row.fields.size(), names.size()));
    }
  }

  // -1 if there is no such column.
  int Find(std::string_view name) const {
    const auto found = std::find(names_.begin(), names_.end(), name);
    return found == names_.end() ? -1 : static_cast<int>(found - names_.begin());
  }

  const std::string& Text(std::string_view name) {
    static const std::string kEmpty;
    const int column = Find(name);
    return column < 0 || error_ ? kEmpty : row_.fields[static_cast<size_t>(column)];
  }

  int64_t Number(std::string_view name, Bounds bounds) {
    const int column = Find(name);
    if (column < 0) {
      Refuse(0, fmt::format("the first row names no column {}", name));
    }
    return error_ ? 0 : NumberAt(static_cast<size_t>(column), bounds);
  }

  std::optional<int64_t> Seconds(std::string_view name) {
    if (Text(name).empty()) {
      return std::nullopt;
    }
    return Number(name, {0, kSecondsMax});
  }

  int64_t NumberAt(size_t column, Bounds bounds) {
    const std::string& text = row_.fields[column];
    int64_t value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (fault == std::errc::result_out_of_range) {
      Refuse(column,
             fmt::format("\"{}\" is out of range {} to {}", text, bounds.least, bounds.most));
    } else if (text.empty() || fault != std::errc() || end != text.data() + text.size()) {
      Refuse(column, fmt::format("\"{}\" is no whole number", text.substr(0, 40)));
    } else if (value < bounds.least || value > bounds.most) {
      Refuse(column, fmt::format("{} is out of range {} to {}", value, bounds.least, bounds.most));
    }
    return error_ ? 0 : value;
  }

  void Refuse(size_t column, const std::string& what) {
    if (!error_) {
      const std::string name = column < names_.size() ? fmt::format(" ({})", names_[column]) : "";
      error_ = Error{
          Code::kInvalidArgument,
          fmt::format("{}: line {}: column {}{}: {}", path_, row_.line, column + 1, name, what),
          {}};
    }
  }

  const std::optional<Error>& error() const { return error_; }

 private:
  const std::string& path_;
  const Row& row_;
  const std::vector<std::string>& names_;
  std::optional<Error> error_;
};

using OnFields = std::function<Result<void>(Fields&)>;

// The rows after the first, each checked against the first one's width. An empty file and a name
// that comes twice are kInvalidArgument.
Result<void> ForEachNamedRow(const std::string& path, const OnFields& on_fields) {
  std::vector<std::string> names;
  auto done = ForEachRow(path, {}, [&](const Row& row) -> Result<void> {
    if (names.empty()) {
      names = row.fields;
      for (size_t i = 0; i < names.size(); ++i) {
        if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) !=
            names.begin() + static_cast<std::ptrdiff_t>(i)) {
          return Fail(
              Code::kInvalidArgument,
              fmt::format(
                  "{}: line {}: column {}: {} comes twice", path, row.line, i + 1, names[i]));
        }
      }
      return {};
    }
    Fields fields(path, row, names);
    if (auto taken = on_fields(fields); !taken) {
      return taken;
    }
    if (fields.error()) {
      return Fail(*fields.error());
    }
    return {};
  });
  if (done && names.empty()) {
    return Fail(Code::kInvalidArgument, fmt::format("{}: line 1: column 1: empty", path));
  }
  return done;
}

template <typename T>
Result<void> Keep(const std::string& path, std::vector<T>& list, T item) {
  if (list.size() == kTraceRowsMax) {
    return Fail(Code::kResourceExhausted,
                fmt::format("{}: more than {} rows", path, kTraceRowsMax));
  }
  list.push_back(std::move(item));
  return {};
}

std::vector<std::string> SplitModels(const std::string& text) {
  std::vector<std::string> models;
  size_t from = 0;
  while (from <= text.size() && !text.empty()) {
    const size_t bar = std::min(text.find('|', from), text.size());
    if (bar > from) {
      models.push_back(text.substr(from, bar - from));
    }
    from = bar + 1;
  }
  std::sort(models.begin(), models.end());
  models.erase(std::unique(models.begin(), models.end()), models.end());
  return models;
}

TracePod ToPod(Fields& row) {
  TracePod pod;
  pod.name = row.Text("name");
  pod.cpu_milli = row.Number("cpu_milli", {0, kAmountMax});
  pod.memory_mib = row.Number("memory_mib", {0, kAmountMax});
  pod.gpus = static_cast<int>(row.Number("num_gpu", {0, kGpusMax}));
  const Bounds milli = pod.gpus == 0 ? Bounds{0, 0} : Bounds{pod.gpus == 1 ? 1 : 1000, 1000};
  pod.gpu_milli = static_cast<int>(row.Number("gpu_milli", milli));
  if (row.Find("gpu_core_milli") >= 0) {
    pod.core_milli = static_cast<int>(row.Number("gpu_core_milli", {0, pod.gpus == 0 ? 0 : 1000}));
  }
  pod.models = SplitModels(row.Text("gpu_spec"));
  pod.qos = row.Text("qos");
  pod.phase = row.Text("pod_phase");
  pod.created_s = row.Seconds("creation_time");
  pod.deleted_s = row.Seconds("deletion_time");
  pod.scheduled_s = row.Seconds("scheduled_time");
  return pod;
}

// One row of an arrival file: what it lists, its seed, its numbers.
struct OrderRow {
  bool of_pods = false;
  uint64_t seed = 0;
  std::vector<int32_t> rows;
};

Result<OrderRow> ToOrderRow(const std::string& path, const Row& row, RowCounts counts) {
  static const std::vector<std::string> kNames = {"list", "seed"};
  std::vector<std::string> names = kNames;
  names.resize(row.fields.size(), "row");
  Fields fields(path, row, names);
  OrderRow order;
  order.of_pods = row.fields[0] == "pods";
  if (!order.of_pods && row.fields[0] != "nodes") {
    fields.Refuse(0, "neither pods nor nodes");
  } else if (row.fields.size() < 3) {
    fields.Refuse(row.fields.size(), "the row ends before its numbers");
  } else {
    order.seed =
        static_cast<uint64_t>(fields.NumberAt(1, {0, std::numeric_limits<int64_t>::max()}));
    const size_t count = order.of_pods ? counts.pods : counts.nodes;
    for (size_t i = 2; i < row.fields.size() && !fields.error(); ++i) {
      // The separator at the end of a line leaves an empty last field.
      if (i + 1 < row.fields.size() || !row.fields[i].empty()) {
        order.rows.push_back(
            static_cast<int32_t>(fields.NumberAt(i, {0, static_cast<int64_t>(count) - 1})));
      }
    }
  }
  if (fields.error()) {
    return Fail(*fields.error());
  }
  return order;
}

double ToPercent(Fields& row, size_t column, const std::string& text) {
  double value = std::numeric_limits<double>::quiet_NaN();
  if (!text.empty()) {
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (fault != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
      row.Refuse(column, fmt::format("\"{}\" is no number", text.substr(0, 40)));
    }
  }
  return value;
}

// Fisher-Yates; the small bias of a remainder of 64 bits shows in no figure.
void Shuffle(std::vector<int32_t>& rows, SeededRandom& random) {
  for (size_t i = rows.size(); i > 1; --i) {
    std::swap(rows[i - 1], rows[random.Next() % i]);
  }
}

std::vector<int32_t> Count(size_t rows) {
  std::vector<int32_t> all(rows);
  for (size_t i = 0; i < rows; ++i) {
    all[i] = static_cast<int32_t>(i);
  }
  return all;
}

}  // namespace

Result<void> ForEachPod(const std::string& path,
                        const std::function<Result<void>(const TracePod&)>& on_pod) {
  return ForEachNamedRow(path, [&](Fields& row) -> Result<void> {
    const TracePod pod = ToPod(row);
    if (row.error()) {
      return Fail(*row.error());
    }
    return on_pod(pod);
  });
}

Result<std::vector<TraceNode>> ReadNodes(const std::string& path) {
  std::vector<TraceNode> nodes;
  auto done = ForEachNamedRow(path, [&](Fields& row) {
    TraceNode node;
    node.name = row.Text("sn");
    node.cpu_milli = row.Number("cpu_milli", {0, kAmountMax});
    node.memory_mib = row.Number("memory_mib", {0, kAmountMax});
    node.gpus = static_cast<int>(row.Number("gpu", {0, kGpusMax}));
    node.model = row.Text("model");
    return Keep(path, nodes, std::move(node));
  });
  if (!done) {
    return Fail(done.error());
  }
  return nodes;
}

Result<std::vector<TracePod>> ReadPods(const std::string& path) {
  std::vector<TracePod> pods;
  auto done = ForEachPod(path, [&](const TracePod& pod) { return Keep(path, pods, pod); });
  if (!done) {
    return Fail(done.error());
  }
  return pods;
}

Result<std::vector<ArrivalOrder>> ReadOrders(const std::string& path, RowCounts counts) {
  std::map<uint64_t, ArrivalOrder> by_seed;
  const RowLimits limits{' ', kTraceRowsMax, 20};
  auto done = ForEachRow(path, limits, [&](const Row& row) -> Result<void> {
    auto order = ToOrderRow(path, row, counts);
    if (!order) {
      return Fail(order.error());
    }
    ArrivalOrder& both = by_seed[order->seed];
    both.seed = order->seed;
    (order->of_pods ? both.pods : both.nodes) = std::move(order->rows);
    return {};
  });
  if (!done) {
    return Fail(done.error());
  }
  std::vector<ArrivalOrder> orders;
  for (auto& [seed, order] : by_seed) {
    if (order.pods.empty() || order.nodes.empty()) {
      return Fail(
          Code::kInvalidArgument,
          fmt::format(
              "{}: seed {} has no row of {}", path, seed, order.pods.empty() ? "pods" : "nodes"));
    }
    orders.push_back(std::move(order));
  }
  return orders;
}

Result<Published> ReadPublished(const std::string& path) {
  Published published;
  auto done = ForEachRow(path, {}, [&, first = true](const Row& row) mutable -> Result<void> {
    static const std::vector<std::string> kNames = {"metric", "workload", "sc_policy", "seed"};
    std::vector<std::string> names = kNames;
    names.resize(std::max(kNames.size(), first ? row.fields.size() : published.loads.size() + 4),
                 "load");
    Fields fields(path, row, names);
    PublishedCurve curve;
    for (size_t i = 4; i < row.fields.size() && !fields.error(); ++i) {
      if (first) {
        published.loads.push_back(static_cast<int>(fields.NumberAt(i, {0, 1000})));
      } else {
        curve.values.push_back(ToPercent(fields, i, row.fields[i]));
      }
    }
    if (!first && !fields.error()) {
      curve.metric = row.fields[0];
      curve.workload = row.fields[1];
      curve.policy = row.fields[2];
      curve.seed = static_cast<uint64_t>(fields.NumberAt(3, {0, kAmountMax}));
    }
    if (fields.error()) {
      return Fail(*fields.error());
    }
    return std::exchange(first, false) ? Result<void>()
                                       : Keep(path, published.curves, std::move(curve));
  });
  if (!done) {
    return Fail(done.error());
  }
  return published;
}

Result<std::string> FindOpenb(const std::string& given) {
  const char* named = std::getenv("SLUICE_OPENB");
  std::vector<std::string> places;
  if (!given.empty()) {
    places.push_back(given);
  } else if (named != nullptr) {
    places.emplace_back(named);
  } else {
    std::error_code unreadable;
    for (auto folder = std::filesystem::current_path(unreadable); !folder.empty();
         folder = folder.parent_path()) {
      places.push_back((folder / "shared/data/openb").string());
      if (folder == folder.parent_path()) {
        break;
      }
    }
  }
  for (const std::string& place : places) {
    std::error_code absent;
    if (std::filesystem::exists(place + "/openb_node_list_gpu_node.csv.gz", absent)) {
      return place;
    }
  }
  return Fail(Code::kNotFound,
              fmt::format("the openb data set is not in {}; name its folder in SLUICE_OPENB",
                          fmt::join(places, ", ")));
}

Result<Variant> ReadVariant(const std::string& folder, const std::string& name) {
  Variant variant;
  variant.name = name;
  auto nodes = ReadNodes(folder + "/openb_node_list_gpu_node.csv.gz");
  if (!nodes) {
    return Fail(nodes.error());
  }
  auto pods = ReadPods(fmt::format("{}/openb_pod_list_{}.csv.gz", folder, name));
  if (!pods) {
    return Fail(pods.error());
  }
  variant.nodes = *std::move(nodes);
  variant.pods = *std::move(pods);
  const std::string file =
      fmt::format("{}/arrival/{}.txt.gz", folder, name.starts_with("gpuspec") ? "default" : name);
  std::error_code absent;
  if (std::filesystem::exists(file, absent)) {
    auto orders = ReadOrders(file, {variant.pods.size(), variant.nodes.size()});
    if (!orders) {
      return Fail(orders.error());
    }
    variant.orders = *std::move(orders);
  }
  return variant;
}

ArrivalOrder DrawOrder(const std::vector<TraceNode>& nodes,
                       const std::vector<TracePod>& pods,
                       DrawOptions options) {
  SeededRandom random(options.seed);
  ArrivalOrder order{options.seed, {}, Count(nodes.size())};
  int64_t capacity_milli = 0;
  for (const TraceNode& node : nodes) {
    capacity_milli += int64_t{node.gpus} * 1000;
  }
  const int64_t wanted_milli = capacity_milli * options.load_percent / 100;
  std::vector<int32_t> shuffled = Count(pods.size());
  Shuffle(shuffled, random);
  int64_t asked_milli = 0;
  for (size_t i = 0; !pods.empty(); ++i) {
    const int32_t row =
        i < shuffled.size() ? shuffled[i] : static_cast<int32_t>(random.Next() % pods.size());
    const TracePod& pod = pods[static_cast<size_t>(row)];
    asked_milli += int64_t{pod.gpus} * pod.gpu_milli;
    // Lists without any card would never reach the load.
    if (asked_milli > wanted_milli || (i >= shuffled.size() && asked_milli == 0)) {
      break;
    }
    order.pods.push_back(row);
  }
  Shuffle(order.nodes, random);
  return order;
}

}  // namespace sluice::sim
