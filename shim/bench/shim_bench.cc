// SPDX-License-Identifier: Apache-2.0
// What the interposer adds, in front of a driver that answers at once: native and hooked runs in
// turn, each in a process of its own; a row's value is the difference of the medians. No GPU, not
// even a simulated one, has a part in these numbers.
#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstring>
#include <linux/futex.h>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "shim/share_box.h"

namespace {

using sluice::region::GrantMode;
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

// What an agent does for a share: a heartbeat, and one grant or a new one every 5 ms.
class Granting {
 public:
  Granting(ShareBox& box, GrantMode mode, bool renew)
      : box_(box), thread_([this, mode, renew](const std::stop_token& stop) {
          for (uint32_t sequence = 1; !stop.stop_requested(); ++sequence) {
            Beat();
            if (renew || sequence == 1) {
              Set(sequence, mode);
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
          }
        }) {}
  Granting(const Granting&) = delete;
  Granting& operator=(const Granting&) = delete;
  ~Granting() {
    thread_.request_stop();
    thread_.join();
    Set(0, GrantMode::kOpen);
  }

 private:
  static uint64_t NowNs() {
    return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  }
  void Beat() { box_.policy().heartbeat_ms = NowNs() / 1'000'000; }
  void Set(uint32_t sequence, GrantMode mode) {
    sluice::region::ComputeGrant& grant = box_.policy().grants[0];
    grant.until_ns = NowNs() + 3'600'000'000'000;
    grant.in_flight_ns = 3'000'000;
    grant.word = sluice::region::GrantWord(sequence, mode);
    syscall(SYS_futex, &grant.word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }

  ShareBox& box_;
  std::jthread thread_;
};

double Granted(ShareBox& box, GrantMode mode, bool renew, const char* what) {
  box.policy().heartbeat_ms = 0;
  const Granting granting(box, mode, renew);
  return One(box, {what});
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
    {"small_copy_extra_ns", "ns", 1, [](ShareBox& box) { return One(box, {"copy"}); }},
    {"launch_open_ns", "ns", 1, [](ShareBox& box) { return One(box, {"launch"}); }},
    {"launch_granted_ns",
     "ns",
     1,
     [](ShareBox& box) { return Granted(box, GrantMode::kRun, false, "launch"); }},
    {"launch_quanta_5ms_ns",
     "ns",
     1,
     [](ShareBox& box) { return Granted(box, GrantMode::kRun, true, "launch"); }},
    {"launch_and_sync_open_ns", "ns", 1, [](ShareBox& box) { return One(box, {"launchsync"}); }},
    {"launch_and_sync_granted_ns",
     "ns",
     1,
     [](ShareBox& box) { return Granted(box, GrantMode::kRun, false, "launchsync"); }},
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

// bench_shim [PREFIX]: only the rows whose names begin so.
int main(int argc, char** argv) {
  ShareBox native(Options(false));
  ShareBox hooked(Options(true));
  // The null driver's card.
  memset(hooked.policy().devices[0].uuid, 0x5a, sizeof(hooked.policy().devices[0].uuid));
  CheckSides(native, hooked);
  const char* const prefix = argc > 1 ? argv[1] : "";
  for (const Row& row : kRows) {
    if (strncmp(row.name, prefix, strlen(prefix)) != 0) {
      continue;
    }
    Measure(row, native, hooked);
  }
  return 0;
}
