// SPDX-License-Identifier: Apache-2.0
// What the interposer adds, in front of a driver that answers at once: native and hooked runs in
// turn, each in a process of its own; a row's value is the difference of the medians. No GPU, not
// even a simulated one, has a part in these numbers.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "shim/share_box.h"

namespace {

using sluice::shim::ShareBox;

const std::string kWorker = SLUICE_BUILD_DIR "/bench/shim_bench_worker";
constexpr int kTurns = 9;

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

double One(ShareBox& box, const std::vector<std::string>& words) {
  std::vector<std::string> argv = {kWorker};
  argv.insert(argv.end(), words.begin(), words.end());
  const auto outcome = box.Run(argv);
  if (outcome.status != 0) {
    fprintf(stderr, "bench_shim: the worker ended with %d\n", outcome.status);
    exit(1);
  }
  return std::stod(outcome.output);
}

// So many at once; the median of their CPU times.
double Together(ShareBox& box, int count) {
  std::vector<ShareBox::Started> all;
  for (int i = 0; i < count; ++i) {
    all.push_back(box.Start({kWorker, "first"}));
  }
  std::vector<double> values;
  for (auto& started : all) {
    values.push_back(std::stod(ShareBox::ReadLine(started.from)));
    box.Finish(started);
  }
  return Median(values);
}

struct Row {
  const char* name;
  const char* unit;
  double scale;  // From ns.
  double (*measure)(ShareBox& box);
};

const Row kRows[] = {
    {"alloc_free_0_live_ns",
     "ns",
     1,
     [](ShareBox& box) {
       return One(box, {"pair", "0"});
     }},
    {"alloc_free_10000_live_ns",
     "ns",
     1,
     [](ShareBox& box) {
       return One(box, {"pair", "10000"});
     }},
    {"mem_info_extra_ns", "ns", 1, [](ShareBox& box) { return One(box, {"info"}); }},
    {"unhooked_extra_ns", "ns", 1, [](ShareBox& box) { return One(box, {"unhooked"}); }},
    {"first_use_1_ms", "ms", 1e-6, [](ShareBox& box) { return Together(box, 1); }},
    {"first_use_64_ms", "ms", 1e-6, [](ShareBox& box) { return Together(box, 64); }},
};

// A row without the interposer at work would look splendid: the hooked side must have charged its
// ledger, and the native side must not have.
void CheckSides(ShareBox& native, ShareBox& hooked) {
  One(native, {"pair", "1"});
  One(hooked, {"pair", "1"});
  const uint64_t charged = hooked.ledger().devices[0].peak_bytes.load();
  if (charged == 0 || native.ledger().devices[0].peak_bytes.load() != 0) {
    fprintf(stderr, "bench_shim: the interposer is not at work in just one of the two places\n");
    exit(1);
  }
}

void Measure(const Row& row, ShareBox& native, ShareBox& hooked) {
  std::vector<double> without;
  std::vector<double> with;
  for (int turn = 0; turn < kTurns; ++turn) {
    without.push_back(row.measure(native) * row.scale);
    with.push_back(row.measure(hooked) * row.scale);
  }
  const double base = Median(without);
  const double total = Median(with);
  printf(
      "{\"bench\":\"shim\",\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\",\"n\":%d,"
      "\"config\":\"added to a driver that answers at once: %.4f without, %.4f with\","
      "\"peer\":null}\n",
      row.name,
      total - base,
      row.unit,
      kTurns,
      base,
      total);
  fflush(stdout);
}

ShareBox::Options Options(bool shared) {
  ShareBox::Options options;
  options.limit = sluice::GiB(1024);
  options.driver_folder = SLUICE_BUILD_DIR "/bench/null";
  options.shared = shared;
  return options;
}

}  // namespace

int main() {
  ShareBox native(Options(false));
  ShareBox hooked(Options(true));
  // The null driver's card.
  memset(hooked.policy().devices[0].uuid, 0x5a, sizeof(hooked.policy().devices[0].uuid));
  CheckSides(native, hooked);
  for (const Row& row : kRows) {
    Measure(row, native, hooked);
  }
  return 0;
}
