// SPDX-License-Identifier: Apache-2.0
// How a card's time is divided, in real time: real agent, real interposer in real processes, and
// simulated cards, which say themselves who had them for how long. Peers' libraries run the same
// programs on the same cards. No GPU has a part in these numbers.
//
//   bench_vcuda [--only PREFIX] [--peer [NAME=]PATH.so [--peer-env NAME=VALUE]…]…
//
// --peer-alone instead of --peer: it tells its containers from one another by what these scenes
// lack (cgroups), so only the rows with one share are of any meaning.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <thread>

#include "tests/bench/vcuda/scene.h"

namespace sluice::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr char kWords[] = "simulated card, real time";

struct Line {
  std::string name;
  double value = 0;
  std::string unit;
  int n = 1;
  std::string config;
};

void Print(const Line& line, const Side& side) {
  printf(
      "{\"bench\":\"vcuda\",\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\",\"n\":%d,"
      "\"config\":\"%s; %s\",\"peer\":%s}\n",
      line.name.c_str(),
      line.value,
      line.unit.c_str(),
      line.n,
      kWords,
      line.config.c_str(),
      side.name.empty() ? "null" : ("\"" + side.name + "\"").c_str());
  fflush(stdout);
}

// A peer's program that does not get ready, or does no work, is a row without a figure.
void NoFigure(const std::string& row, const Side& side) {
  fprintf(stderr,
          "bench_vcuda: %s: no figure of %s: its programs did not work\n",
          row.c_str(),
          side.name.c_str());
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? NAN : values[values.size() / 2];
}

struct Work {
  std::string form = "kernel";
  int us = 1000;
  // Waited for after so many, about 30 ms of work, so that who has work always wants the card.
  int sync = 32;
};

std::string KeepLine(const Work& work) {
  return "keep " + work.form + " " + std::to_string(work.us) + " " + std::to_string(work.sync);
}

// Adds the shares, each with its work. False: one did not get ready.
bool Fill(Scene& scene, const std::vector<int64_t>& percents, const std::vector<Work>& works) {
  for (const int64_t percent : percents) {
    if (!scene.Add(percent)) return false;
  }
  for (size_t i = 0; i < percents.size(); ++i) scene.Tell(i, KeepLine(works[i % works.size()]));
  return true;
}

// ---- rows ----

void ShareError(const std::string& row, const Side& side, const Work& work) {
  Scene scene(side);
  const std::vector<int64_t> percents = {30, 70};
  if (!Fill(scene, percents, {work})) return NoFigure(row, side);
  std::this_thread::sleep_for(1s);
  const std::vector<double> parts = scene.Parts(5s);
  if (parts[0] + parts[1] <= 0) return NoFigure(row, side);
  const double error = std::max(std::abs(parts[0] - 30), std::abs(parts[1] - 70));
  char config[200];
  snprintf(
      config,
      sizeof(config),
      "30 and 70 %% asked, %.1f and %.1f had, of what both had %.1f and %.1f; 5 s after 1 s; %s "
      "of %d us, waited for every %d",
      parts[0],
      parts[1],
      100 * parts[0] / (parts[0] + parts[1]),
      100 * parts[1] / (parts[0] + parts[1]),
      work.form.c_str(),
      work.us,
      work.sync);
  Print({row, error, "points", 1, config}, side);
  if (row != "share_error_points") return;
  // How what both had was divided, whatever the card stood idle for the programs' own reasons.
  const double split = std::abs(100 * parts[0] / (parts[0] + parts[1]) - 30);
  Print({"share_error_of_busy_points", split, "points", 1, config}, side);
}

void ShareErrors(const Side& side) {
  for (const Work& work : {Work{"kernel", 10, 3000},
                           Work{"kernel", 100, 300},
                           Work{"kernel", 1000, 32},
                           Work{"kernel", 10'000, 4},
                           Work{"kernel", 50'000, 2},
                           Work{"graph", 300, 100}}) {
    ShareError("share_error_points", side, work);
  }
}

void Split(const Side& side) {
  ShareError("split_30_70_error_points", side, {"kernel", 2000, 16});
}

void Jain(const Side& side) {
  Scene scene(side);
  if (!Fill(
          scene,
          {25, 25, 25, 25},
          {{"kernel", 500, 64}, {"kernel", 1000, 32}, {"kernel", 2000, 16}, {"kernel", 5000, 6}})) {
    return NoFigure("jain_4", side);
  }
  std::this_thread::sleep_for(1s);
  double sum = 0;
  double squares = 0;
  std::string had;
  for (const double part : scene.Parts(5s)) {
    sum += part;
    squares += part * part;
    had += (had.empty() ? "" : ", ") + std::to_string(part).substr(0, 4);
  }
  Print({"jain_4",
         sum * sum / (4 * squares),
         "",
         1,
         "four of 25 %, kernels of 0.5, 1, 2, 5 ms; had " + had},
        side);
}

// From the joiner's first launch to the begin of the first half second from which on what both have
// is divided as it should be for a second, each half second of it.
void Convergence(const Side& side) {
  constexpr auto kWindow = 500ms;
  constexpr auto kStep = 50ms;
  constexpr auto kHolds = 1s;
  constexpr auto kMost = 20s;
  Scene scene(side);
  const auto first = scene.Add(70);
  const auto second = scene.Add(30);
  if (!first || !second) return NoFigure("convergence_s", side);
  scene.Tell(0, KeepLine({}));
  std::this_thread::sleep_for(2s);
  struct Look {
    double at;
    double busy[2];
  };
  std::vector<Look> looks;
  const auto begin = Clock::now();
  scene.Tell(1, KeepLine({}));
  double converged = NAN;
  while (std::isnan(converged) && Clock::now() - begin < kMost) {
    looks.push_back(
        {Seconds(Clock::now() - begin).count(), {scene.Busy(0).count(), scene.Busy(1).count()}});
    std::this_thread::sleep_for(kStep);
    constexpr size_t kSpan = kWindow / kStep;
    constexpr size_t kRow = kHolds / kStep;
    if (looks.size() < kSpan + kRow) continue;
    const size_t from = looks.size() - kSpan - kRow;
    bool good = true;
    for (size_t i = from; i < from + kRow; ++i) {
      const double first_had = looks[i + kSpan].busy[0] - looks[i].busy[0];
      const double second_had = looks[i + kSpan].busy[1] - looks[i].busy[1];
      const double part = 100 * second_had / (first_had + second_had);
      good = good && std::abs(part - 30) <= 5;
    }
    if (good) converged = looks[from].at;
  }
  const bool never = std::isnan(converged);
  Print({"convergence_s",
         never ? Seconds(kMost).count() : converged,
         "s",
         1,
         std::string("30 % joins 70 %, kernels of 1 ms; to within 5 points, over 0.5 s, for 1 s") +
             (never ? "; not within 20 s" : "")},
        side);
}

// What is lent comes back: from the owner's launch to its work on the card.
void LendReturn(const Side& side) {
  Scene scene(side);
  const auto borrower = scene.Add(30);
  const auto owner = scene.Add(70);
  if (!borrower || !owner) return NoFigure("lend_return_ms", side);
  scene.Tell(0, KeepLine({}));
  std::vector<double> waits;
  for (int turn = 0; turn < 15; ++turn) {
    std::this_thread::sleep_for(200ms);
    const Seconds before = scene.Busy(1);
    const auto begin = Clock::now();
    scene.Tell(1, "once 1000");
    while (scene.Busy(1) <= before && Clock::now() - begin < 10s) {
      std::this_thread::sleep_for(100us);
    }
    waits.push_back(1e3 * Seconds(Clock::now() - begin).count());
    scene.Hear(1);
  }
  Print({"lend_return_ms",
         Median(waits),
         "ms",
         15,
         "30 % has it all, 70 % launches after a rest; kernels of 1 ms; worst " +
             std::to_string(*std::max_element(waits.begin(), waits.end())).substr(0, 5) + " ms"},
        side);
}

double CountAlone(const Side& side) {
  Scene scene(side);
  if (!scene.Add(50)) return NAN;
  scene.Tell(0, "count kernel 200 16 3000");
  return std::stod(scene.Hear(0));
}

void AloneLoss(const Side& side) {
  if (side.kind == Side::Kind::kNative) return;
  Side native;
  native.kind = Side::Kind::kNative;
  std::vector<double> without;
  std::vector<double> with;
  for (int turn = 0; turn < 5; ++turn) {
    without.push_back(CountAlone(native));
    with.push_back(CountAlone(side));
    if (std::isnan(with.back())) return NoFigure("alone_loss_percent", side);
  }
  Print({"alone_loss_percent",
         100 * (1 - Median(with) / Median(without)),
         "%",
         5,
         "a share of 50 % alone on the card, kernels of 200 us, waited for every 16; launches in 3 "
         "s against none of it"},
        side);
}

void KillRecovery(const Side& side) {
  if (side.kind == Side::Kind::kNative) return;
  std::vector<double> times;
  for (int turn = 0; turn < 5; ++turn) {
    Scene scene(side);
    if (!scene.Add(50)) return NoFigure("kill_recovery_s", side);
    scene.Tell(0, KeepLine({"kernel", 200, 1}));
    while (scene.Busy(0) < 100ms) std::this_thread::sleep_for(1ms);
    const auto begin = Clock::now();
    scene.Kill(0);
    // All but what a context is taken to cost.
    while (!scene.CanAllocate(0, MiB(3600)) && Clock::now() - begin < 20s) {
    }
    times.push_back(Seconds(Clock::now() - begin).count());
  }
  Print({"kill_recovery_s",
         Median(times),
         "s",
         5,
         "SIGKILL at work; until a new program of the share is given 3600 of its 4096 MiB, its own "
         "start included"},
        side);
}

struct Row {
  const char* name;
  void (*measure)(const Side&);
  bool of_one_share;
};
const Row kRows[] = {{"share_error_points", ShareErrors, false},
                     {"split_30_70_error_points", Split, false},
                     {"jain_4", Jain, false},
                     {"convergence_s", Convergence, false},
                     {"lend_return_ms", LendReturn, false},
                     {"alone_loss_percent", AloneLoss, true},
                     {"kill_recovery_s", KillRecovery, true}};

// "NAME=PATH.so", or the path alone. With the commit that PATH.so.commit names.
Side PeerOf(const std::string& word) {
  const size_t equals = word.find('=');
  const bool named = equals != std::string::npos;
  Side side;
  side.kind = Side::Kind::kPeer;
  side.library = named ? word.substr(equals + 1) : word;
  side.name = named ? word.substr(0, equals) : word.substr(word.rfind('/') + 1);
  std::string commit;
  std::ifstream note(side.library + ".commit");
  if (note >> commit) side.name += " " + commit;
  return side;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  using namespace sluice::bench;
  std::vector<Side> sides(2);
  sides[1].kind = Side::Kind::kNative;
  sides[1].name = "none (the driver's own time slices)";
  std::string only;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string word = argv[i];
    if (word == "--only") only = argv[i + 1];
    if (word == "--peer" || word == "--peer-alone") sides.push_back(PeerOf(argv[i + 1]));
    if (word == "--peer-alone") sides.back().alone = true;
    if (word == "--peer-env") sides.back().environment.emplace_back(argv[i + 1]);
  }
  for (const Row& row : kRows) {
    if (!std::string(row.name).starts_with(only)) continue;
    for (const Side& side : sides) {
      if (row.of_one_share || !side.alone) row.measure(side);
    }
  }
  return 0;
}
