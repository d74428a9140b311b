// SPDX-License-Identifier: Apache-2.0
// How fast the SQLite store commits, tells its watchers and starts again. Prints JSON lines. The
// files lie in TMPDIR (default /tmp): its disk decides the commits, so a bare write with a sync
// runs beside them as the peer.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/core.h>
#include <functional>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/check.h"
#include "store/codec.h"
#include "store/memory.h"
#include "store/sqlite.h"

namespace sluice::store {
namespace {

using Steady = std::chrono::steady_clock;

constexpr int kRuns = 5;
constexpr std::chrono::milliseconds kRunTime{500};
constexpr int kRestartObjects = 100'000;

struct Row {
  std::string name;
  std::string unit;
  std::string config;
  std::string peer;
};

void Print(const Row& row, double value, size_t count) {
  fmt::print(
      R"({{"bench":"store","name":"{}","value":{:.4g},"unit":"{}","n":{},"config":"{}","peer":"{}"}})"
      "\n",
      row.name,
      value,
      row.unit,
      count,
      row.config,
      row.peer);
  std::fflush(stdout);
}

double At(std::vector<double> values, double quantile) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(quantile * static_cast<double>(values.size() - 1))];
}

double SecondsSince(Steady::time_point start) {
  return std::chrono::duration<double>(Steady::now() - start).count();
}

// A desktop as large as a real one.
std::string Body(int number) {
  Desktop desktop;
  desktop.id = DesktopId(fmt::format("dsk_{:08}", number));
  desktop.name = "training run of the week";
  desktop.reason = "Somebody is working in it.";
  desktop.stages.resize(kLaunchStageCount);
  return Encode(desktop);
}

std::string Id(int thread, int number) {
  return fmt::format("dsk_{:02}_{:06}", thread, number);
}

// Calls `step(thread, i)` from every thread until the time is over; returns calls per second.
double Rate(int threads, const std::function<void(int, int)>& step) {
  std::atomic<int64_t> calls{0};
  const auto start = Steady::now();
  {
    std::vector<std::jthread> running;
    for (int t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        int i = 0;
        while (Steady::now() - start < kRunTime) step(t, i++);
        calls += i;
      });
    }
  }
  return static_cast<double>(calls) / SecondsSince(start);
}

void MustCommit(Store& store, std::span<const Write> writes) {
  SLUICE_CHECK(store.Commit(writes).has_value());
}

void BenchCommits(Store& store, const std::string& folder) {
  const std::string body = Body(0);
  const auto commit = [&](int thread, int i) {
    const Write write{Kind::kDesktop, Id(thread, i % 1'000), std::nullopt, body};
    MustCommit(store, {&write, 1});
  };
  const int file = open((folder + "/peer").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  SLUICE_CHECK(file >= 0);
  const auto bare = [&](int, int i) {
    const auto at = static_cast<off_t>(i) * 4096;
    SLUICE_CHECK(pwrite(file, body.data(), body.size(), at) > 0 && fdatasync(file) == 0);
  };
  std::vector<double> one, sixteen, peer;
  for (int run = 0; run < kRuns; ++run) {
    one.push_back(Rate(1, commit));
    peer.push_back(Rate(1, bare));
    sixteen.push_back(Rate(16, commit));
  }
  close(file);
  Print({"commits_per_s", "1/s", "sqlite, 1 thread", ""}, At(one, 0.5), kRuns);
  Print({"commits_per_s", "1/s", "sqlite, 16 threads", ""}, At(sixteen, 0.5), kRuns);
  Print({"commits_per_s", "1/s", "1 thread", "pwrite and fdatasync"}, At(peer, 0.5), kRuns);
}

// From the call of Commit to the watcher's return with the event, sync included.
void BenchWatch(Store& store, const std::string& config) {
  constexpr int kEvents = 500;
  std::atomic<int> seen{0};
  std::vector<double> latencies_us;
  Steady::time_point called;
  const auto watch = store.WatchFrom(store.Version(), {Kind::kClaim});
  std::jthread watcher([&] {
    for (int i = 0; i < kEvents; ++i) {
      const auto events = watch->Next(Duration(60'000));
      SLUICE_CHECK(events && events->size() == 1);
      latencies_us.push_back(SecondsSince(called) * 1e6);
      seen = i + 1;
      seen.notify_one();
    }
  });
  for (int i = 0; i < kEvents; ++i) {
    const Write write{Kind::kClaim, "clm", std::nullopt, "{}"};
    called = Steady::now();
    MustCommit(store, {&write, 1});
    seen.wait(i);
  }
  watcher.join();
  Print({"watch_latency_us", "us", config + ", p50", ""}, At(latencies_us, 0.5), kEvents);
  Print({"watch_latency_us", "us", config + ", p95", ""}, At(latencies_us, 0.95), kEvents);
}

void BenchRestart(const std::string& path) {
  {
    auto store = OpenSqlite(path);
    SLUICE_CHECK(store.has_value());
    std::vector<Write> writes;
    for (int i = 0; i < kRestartObjects; ++i) {
      writes.push_back({Kind::kDesktop, Id(0, i), 0, Body(i)});
    }
    MustCommit(**store, writes);
  }
  std::vector<double> seconds;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = Steady::now();
    const auto store = OpenSqlite(path);
    seconds.push_back(SecondsSince(start));
    SLUICE_CHECK(store && (*store)->Get(Kind::kDesktop, Id(0, kRestartObjects - 1)));
  }
  Print({"restart_100k_s", "s", fmt::format("sqlite, {} B each", Body(0).size()), ""},
        At(seconds, 0.5),
        kRuns);
}

int Main() {
  const char* parent = std::getenv("TMPDIR");
  std::string folder = std::string(parent == nullptr ? "/tmp" : parent) + "/sluice-bench-XXXXXX";
  SLUICE_CHECK(mkdtemp(folder.data()) != nullptr);
  {
    auto store = OpenSqlite(folder + "/commits.db");
    SLUICE_CHECK(store.has_value());
    BenchCommits(**store, folder);
    BenchWatch(**store, "sqlite");
    BenchWatch(*OpenMemory(), "memory");
  }
  BenchRestart(folder + "/restart.db");
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace sluice::store

int main() {
  return sluice::store::Main();
}
