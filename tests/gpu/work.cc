// SPDX-License-Identifier: Apache-2.0
// What the suites of ./run have a card do, natively or inside a share: one verb, lines of figures.
// It has no idea of shares. Durations of kernels are amounts of work, measured on the card first: a
// kernel that waited for its time to pass would have it pass while others have the card.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "ask.h"

namespace sluice::gpu {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

double Now() {
  return Seconds(Clock::now().time_since_epoch());
}

[[noreturn]] void Give(const char* what, int code) {
  std::printf("{\"failed\": \"%s\", \"code\": %d}\n", what, code);
  std::exit(1);
}

void Need(const char* what, int code) {
  if (code != 0) Give(what, code);
}

void AwaitLine() {
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') {
  }
}

// Adds one to a register `rounds` times for each of the argument's microseconds, as the card has
// been found to need. A simulated card knows the name and takes the argument for microseconds.
std::string Ptx(uint64_t rounds) {
  return ".version 6.0\n.target sm_70\n.address_size 64\n"
         ".visible .entry sluice_sleep_us(.param .u64 us) {\n"
         "  .reg .pred %p;\n  .reg .u64 %n<3>;\n  .reg .f32 %f<2>;\n"
         "  ld.param.u64 %n0, [us];\n  mul.lo.u64 %n0, %n0, " +
         std::to_string(rounds) +
         ";\n  mov.u64 %n1, 0;\n  mov.f32 %f0, 0f3F800000;\n"
         "again:\n  fma.rn.f32 %f0, %f0, %f0, %f0;\n  add.u64 %n1, %n1, 1;\n"
         "  setp.lt.u64 %p, %n1, %n0;\n  @%p bra again;\n"
         "  cvt.rzi.u64.f32 %n2, %f0;\n  setp.eq.u64 %p, %n2, 7;\n  @%p trap;\n  ret;\n}\n";
}

struct Card {
  Handle context = nullptr;
  Handle function = nullptr;
  Handle stream = nullptr;

  Card() {
    Need("cuInit", Call("cuInit", 0u));
    Need("cuDevicePrimaryCtxRetain", Call("cuDevicePrimaryCtxRetain", &context, 0));
    Need("cuCtxSetCurrent", Call("cuCtxSetCurrent", context));
    Need("cuStreamCreate", Call("cuStreamCreate", &stream, 1u));
    // A share is charged for the context with the first block.
    Address first = 0;
    if (Call("cuMemAlloc_v2", &first, size_t{1}) == 0) Call("cuMemFree_v2", first);
  }
  // As measured before, on a card that nobody shared: beside others a measurement would be of
  // their work, too.
  void Calibrate() {
    const char* told = std::getenv("SLUICE_GPU_ROUNDS");
    Load(told == nullptr ? Measure() : std::strtoull(told, nullptr, 10));
  }
  // Rounds of the kernel in a microsecond. The card is warm by then.
  uint64_t Measure() {
    uint64_t rounds = 100;
    for (int turn = 0; turn < 3; ++turn) {
      Load(rounds);
      constexpr uint64_t kTrialUs = 20'000;
      Work(kTrialUs);
      const double ms = std::max(Timed(kTrialUs), 0.001);
      const double wanted_ms = static_cast<double>(kTrialUs) / 1000;
      rounds = std::max<uint64_t>(
          1, static_cast<uint64_t>(static_cast<double>(rounds) * wanted_ms / ms + 0.5));
    }
    return rounds;
  }
  void Load(uint64_t rounds) {
    const std::string text = Ptx(rounds);
    Handle module = nullptr;
    Need("cuModuleLoadData",
         Call("cuModuleLoadData", &module, static_cast<const void*>(text.c_str())));
    Need("cuModuleGetFunction", Call("cuModuleGetFunction", &function, module, "sluice_sleep_us"));
  }
  void Work(uint64_t us) {
    void* arguments[] = {&us};
    Need("cuLaunchKernel", Start({.function = function, .stream = stream, .arguments = arguments}));
  }
  void Wait() { Need("cuStreamSynchronize", Call("cuStreamSynchronize", stream)); }
  double Timed(uint64_t us) {
    Handle events[2] = {};
    float ms = 0;
    for (Handle& event : events) Need("cuEventCreate", Call("cuEventCreate", &event, 0u));
    Call("cuEventRecord", events[0], stream);
    Work(us);
    Call("cuEventRecord", events[1], stream);
    Wait();
    Need("cuEventElapsedTime", Call("cuEventElapsedTime", &ms, events[0], events[1]));
    return static_cast<double>(ms);
  }
  // Ten kernels in one graph.
  Handle Graph(uint64_t us) {
    Handle graph = nullptr;
    Handle exec = nullptr;
    Need("cuStreamBeginCapture_v2", Call("cuStreamBeginCapture_v2", stream, 2));
    for (int i = 0; i < kInGraph; ++i) Work(us);
    Need("cuStreamEndCapture", Call("cuStreamEndCapture", stream, &graph));
    Need("cuGraphInstantiateWithFlags", Call("cuGraphInstantiateWithFlags", &exec, graph, 0ull));
    return exec;
  }
  static constexpr int kInGraph = 10;
};

// busy FORM US SECONDS: works without pause and says "time, microseconds of work done" about every
// 20 ms, on the machine's monotonic clock. At most two batches are in flight.
int Busy(const std::string& form, uint64_t us, double seconds) {
  Card card;
  card.Calibrate();
  const bool graphs = form == "graph";
  Handle exec = graphs ? card.Graph(us) : nullptr;
  const uint64_t each = us * (graphs ? Card::kInGraph : 1);
  const uint64_t batch = std::max<uint64_t>(1, 5000 / each);
  Handle events[2] = {};
  for (Handle& event : events) Need("cuEventCreate", Call("cuEventCreate", &event, 2u));
  const double end = Now() + seconds;
  double said = 0;
  uint64_t done = 0;
  for (uint64_t turn = 0; Now() < end; ++turn) {
    if (turn >= 2) {
      Need("cuEventSynchronize", Call("cuEventSynchronize", events[turn % 2]));
      done += batch * each;
    }
    for (uint64_t i = 0; i < batch; ++i) {
      if (graphs) Need("cuGraphLaunch", Call("cuGraphLaunch", exec, card.stream));
      if (!graphs) card.Work(us);
    }
    Need("cuEventRecord", Call("cuEventRecord", events[turn % 2], card.stream));
    if (Now() - said < 0.02) continue;
    said = Now();
    std::printf("%.6f %llu\n", said, static_cast<unsigned long long>(done));
    std::fflush(stdout);
  }
  return 0;
}

// wake US COUNT PAUSE_MS: now and then something short, after a pause: how long each took.
int Wake(uint64_t us, uint64_t count, uint64_t pause_ms) {
  Card card;
  card.Calibrate();
  std::printf("{\"took_ms\": [");
  for (uint64_t i = 0; i < count; ++i) {
    ::usleep(static_cast<useconds_t>(pause_ms * 1000));
    const double from = Now();
    card.Work(us);
    card.Wait();
    std::printf("%s%.2f", i == 0 ? "" : ", ", (Now() - from) * 1000);
  }
  std::printf("]}\n");
  return 0;
}

// The median time of `count` calls, five times, in nanoseconds each.
template <typename Body>
double MedianNs(int count, Body&& body) {
  std::vector<double> times;
  for (int turn = 0; turn < 5; ++turn) {
    const auto from = Clock::now();
    for (int i = 0; i < count; ++i) body();
    times.push_back(Seconds(Clock::now() - from) * 1e9 / count);
  }
  std::sort(times.begin(), times.end());
  return times[2];
}

int Costs() {
  const double from = Now();
  Card card;
  const double start_ms = (Now() - from) * 1000;
  card.Load(1);
  card.Work(1);
  card.Wait();
  const double launch = MedianNs(20,
                                 [&] {
                                   for (int i = 0; i < 50; ++i) card.Work(0);
                                   card.Wait();
                                 }) /
                        50;
  const double round_trip = MedianNs(200, [&] {
    card.Work(0);
    card.Wait();
  });
  const double pair = MedianNs(200, [&] {
    Address block = 0;
    Need("cuMemAlloc_v2", Call("cuMemAlloc_v2", &block, 4 * kMib));
    Need("cuMemFree_v2", Call("cuMemFree_v2", block));
  });
  const double info = MedianNs(1000, [&] {
    size_t free_bytes = 0;
    size_t total = 0;
    Call("cuMemGetInfo_v2", &free_bytes, &total);
  });
  std::printf(
      "{\"start_ms\": %.1f, \"launch_ns\": %.0f, \"launch_and_sync_ns\": %.0f, \"alloc_free_ns\": "
      "%.0f, "
      "\"mem_info_ns\": %.0f}\n",
      start_ms,
      launch,
      round_trip,
      pair,
      info);
  return 0;
}

int Hold(size_t bytes) {
  Card card;
  Address block = 0;
  std::printf("%d\n", Call("cuMemAlloc_v2", &block, bytes));
  std::fflush(stdout);
  AwaitLine();
  return 0;
}

// A program that holds most of what there is is killed: how long until another one can have it.
int Recover(size_t bytes, char* self) {
  int ends[2];
  int input[2];  // Never written to: it holds until it is killed.
  if (::pipe(ends) != 0 || ::pipe(input) != 0) return 1;
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(input[0], STDIN_FILENO);
    ::dup2(ends[1], STDOUT_FILENO);
    const std::string text = std::to_string(bytes);
    ::execl(self, self, "hold", text.c_str(), nullptr);
    ::_exit(127);
  }
  char code = 0;
  if (::read(ends[0], &code, 1) != 1 || code != '0') Give("the first program's block", code - '0');
  Card card;
  Address block = 0;
  const int refused = Call("cuMemAlloc_v2", &block, bytes);
  const double from = Now();
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  int answer = refused;
  while (answer != 0 && Now() - from < 60) answer = Call("cuMemAlloc_v2", &block, bytes);
  std::printf("{\"refused_before\": %d, \"code\": %d, \"recovery_s\": %.4f}\n",
              refused,
              answer,
              Now() - from);
  return answer;
}

size_t Free() {
  size_t free_bytes = 0;
  size_t total = 0;
  Need("cuMemGetInfo_v2", Call("cuMemGetInfo_v2", &free_bytes, &total));
  return free_bytes;
}

struct Resource {
  int type;
  unsigned char padding[92];
  unsigned sm_count, part_min, part_align;
  unsigned char rest[36];
};

// A context of half the card's multiprocessors works, and takes no memory from a limit that the
// card's own context does not.
int Green() {
  Card card;
  card.Calibrate();
  Resource all{};
  Resource half{};
  unsigned groups = 1;
  Handle desc = nullptr;
  Handle green = nullptr;
  Handle none = nullptr;
  Need("cuDeviceGetDevResource", Call("cuDeviceGetDevResource", 0, &all, 1));
  Need("cuDevSmResourceSplitByCount",
       Call("cuDevSmResourceSplitByCount",
            &half,
            &groups,
            &all,
            static_cast<Resource*>(nullptr),
            0u,
            all.sm_count / 2));
  Need("cuDevResourceGenerateDesc", Call("cuDevResourceGenerateDesc", &desc, &half, 1u));
  const size_t before = Free();
  Need("cuGreenCtxCreate", Call("cuGreenCtxCreate", &green, desc, 0, 1u));
  Need("cuGreenCtxStreamCreate", Call("cuGreenCtxStreamCreate", &card.stream, green, 1u, 0));
  const double ms = card.Timed(1000);
  Address block = 0;
  Need("cuCtxFromGreenCtx", Call("cuCtxFromGreenCtx", &none, green));
  Need("cuCtxSetCurrent", Call("cuCtxSetCurrent", none));
  const int past = Call("cuMemAlloc_v2", &block, before + 64 * kMib);
  std::printf(
      "{\"sm\": %u, \"sm_half\": %u, \"kernel_1ms_ms\": %.3f, \"taken_mib\": %lld, "
      "\"past_the_limit\": %d}\n",
      all.sm_count,
      half.sm_count,
      ms,
      (static_cast<long long>(before) - static_cast<long long>(Free())) >> 20,
      past);
  return 0;
}

// Holds data and does nothing, until told to look whether the data is still there.
int Idle() {
  Card card;
  constexpr size_t kBytes = 256 * kMib;
  constexpr unsigned kWord = 0x51u;
  Address block = 0;
  Need("cuMemAlloc_v2", Call("cuMemAlloc_v2", &block, kBytes));
  Need("cuMemsetD32_v2", Call("cuMemsetD32_v2", block, kWord, kBytes / 4));
  Call("cuCtxSynchronize");
  std::printf("%d\n", ::getpid());
  std::fflush(stdout);
  AwaitLine();
  std::vector<unsigned> back(kBytes / 4);
  Need("cuMemcpyDtoH_v2", Call("cuMemcpyDtoH_v2", static_cast<void*>(back.data()), block, kBytes));
  const bool sound =
      std::all_of(back.begin(), back.end(), [](unsigned word) { return word == kWord; });
  std::printf("%s\n", sound ? "sound" : "spoilt");
  return sound ? 0 : 1;
}

// Another process, given by this name space's number, leaves the card; after a line of input it
// comes back.
int Checkpoint(int pid) {
  void* none = nullptr;
  Need("cuInit", Call("cuInit", 0u));
  double from = Now();
  for (const char* step : {"cuCheckpointProcessLock", "cuCheckpointProcessCheckpoint"})
    Need(step, Call(step, pid, none));
  std::printf("{\"suspend_s\": %.4f}\n", Now() - from);
  std::fflush(stdout);
  AwaitLine();
  from = Now();
  for (const char* step : {"cuCheckpointProcessRestore", "cuCheckpointProcessUnlock"})
    Need(step, Call(step, pid, none));
  std::printf("{\"resume_s\": %.4f}\n", Now() - from);
  return 0;
}

int Views() {
  Card card;
  size_t free_bytes = 0;
  size_t total = 0;
  size_t device = 0;
  Need("cuMemGetInfo_v2", Call("cuMemGetInfo_v2", &free_bytes, &total));
  Need("cuDeviceTotalMem_v2", Call("cuDeviceTotalMem_v2", &device, 0));
  std::printf("{\"free_mib\": %zu, \"total_mib\": %zu, \"device_mib\": %zu}\n",
              free_bytes >> 20,
              total >> 20,
              device >> 20);
  return 0;
}

int ShowRounds() {
  Card card;
  std::printf("{\"rounds\": %llu}\n", static_cast<unsigned long long>(card.Measure()));
  return 0;
}

int Run(int count, char** words) {
  const std::string verb = count > 1 ? words[1] : "";
  auto number = [&](int at) { return count > at ? std::strtoull(words[at], nullptr, 10) : 0; };
  if (verb == "busy" && count == 5)
    return Busy(words[2], number(3), std::strtod(words[4], nullptr));
  if (verb == "wake" && count == 5) return Wake(number(2), number(3), number(4));
  if (verb == "costs") return Costs();
  if (verb == "hold") return Hold(number(2));
  if (verb == "recover") return Recover(number(2), words[0]);
  if (verb == "green") return Green();
  if (verb == "idle") return Idle();
  if (verb == "checkpoint") return Checkpoint(static_cast<int>(number(2)));
  if (verb == "calibrate") return ShowRounds();
  if (verb == "ptx") return std::printf("%s", Ptx(100).c_str()) > 0 ? 0 : 1;
  if (verb == "views") return Views();
  std::fprintf(
      stderr,
      "usage: work busy|wake|costs|hold|recover|green|idle|checkpoint|views|calibrate|ptx ...\n");
  return 64;
}

}  // namespace
}  // namespace sluice::gpu

int main(int count, char** words) {
  if (count == 2 && std::strcmp(words[1], "ptx") == 0) return sluice::gpu::Run(count, words);
  if (sluice::gpu::Driver() == nullptr) sluice::gpu::Give("no driver", -1);
  return sluice::gpu::Run(count, words);
}
