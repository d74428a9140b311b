// SPDX-License-Identifier: Apache-2.0
// What the interposer adds, in front of a driver that answers at once, and what a peer's does: runs
// native, ours and the peer's in turn, each in a process of its own; a row's value is the
// difference of the medians. No GPU, not even a simulated one, has a part in these numbers.
#include <algorithm>
#include <chrono>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <linux/futex.h>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "shim/bench/sides.h"

namespace {

using sluice::region::GrantMode;
using sluice::shim::ShareBox;
using sluice::shim::bench::Peer;
using sluice::shim::bench::PeerFromEnvironment;
using sluice::shim::bench::Print;
using sluice::shim::bench::Side;

const std::string kWorker = SLUICE_BUILD_DIR "/bench/shim_bench_worker";
constexpr int kTurns = 5;

// What an agent grants meanwhile, on our side; a peer gets a cap of half a card.
enum class Grants { kNone, kHeld, kRenewed };

struct Row {
  const char* name;
  const char* unit;
  double scale;  // From ns.
  std::vector<std::string> words;
  int together;  // So many processes at once; 0: one.
  Grants grants;
  bool of_peer;  // False: the peer has nothing of this kind.
};

const Row kRows[] = {
    {"alloc_free_0_live_ns", "ns", 1, {"pair", "0"}, 0, Grants::kNone, true},
    {"alloc_free_10000_live_ns", "ns", 1, {"pair", "10000"}, 0, Grants::kNone, true},
    {"mem_info_extra_ns", "ns", 1, {"info"}, 0, Grants::kNone, true},
    {"unhooked_extra_ns", "ns", 1, {"unhooked"}, 0, Grants::kNone, true},
    {"small_copy_extra_ns", "ns", 1, {"copy"}, 0, Grants::kNone, true},
    {"launch_open_ns", "ns", 1, {"launch", "1", "250"}, 0, Grants::kNone, true},
    {"launch_granted_ns", "ns", 1, {"launch", "1", "250"}, 0, Grants::kHeld, true},
    {"launch_quanta_5ms_ns", "ns", 1, {"launch", "1", "250"}, 0, Grants::kRenewed, false},
    {"launch_and_sync_open_ns", "ns", 1, {"launchsync", "1", "250"}, 0, Grants::kNone, true},
    {"launch_and_sync_granted_ns", "ns", 1, {"launchsync", "1", "250"}, 0, Grants::kHeld, true},
    {"first_use_1_ms", "ms", 1e-6, {"first"}, 1, Grants::kNone, true},
    {"first_use_64_ms", "ms", 1e-6, {"first"}, 64, Grants::kNone, true},
};

// Of those that are figures.
double Median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  std::sort(values.begin(), values.end());
  return values.empty() ? NAN : values[values.size() / 2];
}

// A program of a peer that fails is a run without a figure; any other is an end.
double Failed(const Side& side, const Row& row, int status) {
  fprintf(stderr, "bench_shim: %s: the worker ended with %d\n", row.name, status);
  if (side.kind() != Side::Kind::kPeer) {
    exit(1);
  }
  return NAN;
}

double One(Side& side, const Row& row) {
  std::vector<std::string> argv = {kWorker};
  argv.insert(argv.end(), row.words.begin(), row.words.end());
  const auto outcome = side.box().Run(argv, side.Environment(row.grants != Grants::kNone));
  return outcome.status == 0 ? std::stod(outcome.output) : Failed(side, row, outcome.status);
}

// So many at once; the median of their CPU times. A peer's program that says nothing for so long is
// ended and counted in `hung`.
double Together(Side& side, const Row& row, int& hung) {
  std::vector<ShareBox::Started> all;
  for (int i = 0; i < row.together; ++i) {
    all.push_back(side.box().Start({kWorker, row.words[0]}, side.Environment(false)));
  }
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  std::vector<double> values;
  for (auto& started : all) {
    pollfd answer = {started.from, POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        patience - std::chrono::steady_clock::now());
    const int wait = std::max(0, static_cast<int>(left.count()));
    if (poll(&answer, 1, side.kind() == Side::Kind::kPeer ? wait : -1) == 0) {
      side.box().Kill(started);
      ++hung;
      continue;
    }
    const std::string line = ShareBox::ReadLine(started.from);
    const int status = side.box().Finish(started);
    values.push_back(status == 0 ? std::stod(line) : Failed(side, row, status));
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

double Measure(Side& side, const Row& row, int& hung) {
  if (row.together > 0) {
    return Together(side, row, hung) * row.scale;
  }
  std::optional<Granting> granting;
  if (row.grants != Grants::kNone && side.kind() == Side::Kind::kOurs) {
    side.box().policy().heartbeat_ms = 0;
    granting.emplace(side.box(), GrantMode::kRun, row.grants == Grants::kRenewed);
  }
  return One(side, row) * row.scale;
}

// A row without the interposer at work would look splendid: our side must have charged its ledger,
// and the native side must not have. A peer must refuse what is more than its limit.
void CheckSides(std::vector<Side>& sides) {
  const Row pair = {"check", "", 1, {"pair", "1"}, 0, Grants::kNone, true};
  for (Side& side : sides) {
    bool right = One(side, pair) > 0;
    if (side.kind() == Side::Kind::kPeer) {
      const auto outcome = side.box().Run({kWorker, "huge"}, side.Environment(false));
      right = right && outcome.output == "2\n";
    } else {
      const bool charged = side.box().ledger().devices[0].peak_bytes.load() != 0;
      right = right && charged == (side.kind() == Side::Kind::kOurs);
    }
    if (!right) {
      fprintf(
          stderr, "bench_shim: side %d is not what it should be\n", static_cast<int>(side.kind()));
      exit(1);
    }
  }
}

void MeasureAndPrint(const Row& row, std::vector<Side>& sides, const Peer& peer) {
  std::vector<std::vector<double>> values(sides.size());
  int hung = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    for (size_t i = 0; i < sides.size(); ++i) {
      if (sides[i].kind() != Side::Kind::kPeer || row.of_peer) {
        values[i].push_back(Measure(sides[i], row, hung));
      }
    }
  }
  const double base = Median(values[0]);
  for (size_t i = 1; i < sides.size(); ++i) {
    const double total = Median(values[i]);
    if (std::isnan(total)) {
      continue;  // Not a row of the peer, or it failed each time and stderr says so.
    }
    char config[160];
    snprintf(config,
             sizeof(config),
             "added to a driver that answers at once: %.4f without, %.4f with",
             base,
             total);
    std::string added = config;
    if (hung > 0 && sides[i].kind() == Side::Kind::kPeer) {
      added += "; of " + std::to_string(kTurns * row.together) + " programs " +
               std::to_string(hung) + " did not go on within 5 s and were ended";
    }
    Print(
        {row.name,
         total - base,
         row.unit,
         static_cast<int>(std::count_if(
             values[i].begin(), values[i].end(), [](double value) { return !std::isnan(value); })),
         added,
         sides[i].kind() == Side::Kind::kPeer ? peer.name : ""});
  }
}

}  // namespace

// bench_shim [PREFIX]: only the rows whose names begin so.
int main(int argc, char** argv) {
  const Peer peer = PeerFromEnvironment();
  const std::string null_driver = SLUICE_BUILD_DIR "/bench/null";
  std::vector<Side> sides;
  sides.emplace_back(Side::Kind::kNative, sluice::GiB(1024), null_driver);
  sides.emplace_back(Side::Kind::kOurs, sluice::GiB(1024), null_driver);
  if (!peer.library.empty()) {
    sides.emplace_back(Side::Kind::kPeer, sluice::GiB(1024), null_driver, peer);
  }
  // The null driver's card.
  auto& device = sides[1].box().policy().devices[0];
  memset(device.uuid, 0x5a, sizeof(device.uuid));
  CheckSides(sides);
  const std::string prefix = argc > 1 ? argv[1] : "";
  for (const Row& row : kRows) {
    if (std::string(row.name).starts_with(prefix)) {
      MeasureAndPrint(row, sides, peer);
    }
  }
  if (std::string("beyond_limit").starts_with(prefix)) {
    sluice::shim::bench::CompareWaysRound(peer);
  }
  return 0;
}
