// SPDX-License-Identifier: Apache-2.0
// Programs that take and give back memory in every way there is, for the ledger's property test.
// One process starts the others, so that a new one costs a fork and no start. It reads lines
//
//   SOCKET VISIBLE FAULT    a new program that listens on that inherited socket, with those values
//                           of CUDA_VISIBLE_DEVICES and SLUICE_SIMGPU_FAULT ("-": none;
//                           "slot": it stops at that point)
//
// and answers with the program's number. A program says "ready" or "failed", and then answers each
// message with one:
//
//   do CARD SEED            something: "CODE NAME", or "CODE export HANDLE" for others to import
//   import CARD HANDLE      another program's memory: "CODE import"
//   stop POINT N            from here on it may say "at" before an answer (points.h): "0 stop"
//   sync                    "0 CONTEXTS CONTEXTS": what it has of each card
//   free                    gives everything back: "0 CONTEXTS CONTEXTS"
//   fill CARD BYTES         one allocation of that size: its code, and its end
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <functional>
#include <iostream>
#include <signal.h>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "base/random.h"
#include "shim/internal/testing/routes.h"

namespace sluice::shim {
namespace {

constexpr int kCards = 2;
constexpr Size kPiece = 2 * kMib;  // What the card hands out.
constexpr int kHandleFd = 1;       // A handle that travels as a file descriptor.
constexpr int kLocationHost = 2;

// What this program holds, and how it gives it back. After a reset some of it is gone already: what
// the driver then answers is nobody's business here.
struct Holding {
  CUdevice card;
  std::string name;
  std::function<CUresult()> release;
};

struct Program {
  SeededRandom random{0};
  std::vector<Holding> holdings;
  CUcontext primary[kCards] = {};
  int contexts[kCards] = {};
  std::string said;  // To go with the answer.

  Size Bytes() { return (random.Next() % 30 + 1) * kPiece; }
  bool Coin() { return random.Next() % 2 == 0; }
  void Keep(std::function<CUresult()> release) {
    holdings.push_back({card, said, std::move(release)});
  }
};

CUresult GiveBack(Program& program, size_t at) {
  const Holding one = program.holdings[at];
  program.holdings.erase(program.holdings.begin() + static_cast<std::ptrdiff_t>(at));
  const CUdevice kept = card;
  card = one.card;
  Ask("cuCtxSetCurrent", program.primary[card]);
  const CUresult result = one.release();
  program.said = "release of " + one.name;
  card = kept;
  Ask("cuCtxSetCurrent", program.primary[card]);
  return result;
}

CUresult Release(Program& program) {
  return program.holdings.empty()
             ? kSuccess
             : GiveBack(program, program.random.Next() % program.holdings.size());
}

CUresult Route(Program& program) {
  const struct Route& route = Routes().first[program.random.Next() % Routes().count];
  held = Held{};
  const CUresult result = route.allocate(program.Bytes());
  program.said = route.name;
  if (result == kSuccess) {
    program.Keep([&route, mine = held] {
      held = mine;
      return route.release();
    });
  }
  return result;
}

// A graph whose memory outlives its launch, launched again after it was given back.
CUresult LastingGraph(Program& program) {
  keep_graph_memory = true;
  held = Held{};
  const CUresult result = RouteOf("cuGraphAddMemAllocNode").allocate(program.Bytes());
  keep_graph_memory = false;
  const bool again = program.Coin();
  if (held.exec != nullptr) {
    program.Keep([mine = held, again, result] {
      held = mine;
      if (result == kSuccess) {
        Ask("cuMemFreeAsync", held.block, CUstream{});
      }
      if (again && Ask("cuGraphLaunch", held.exec, CUstream{}) == kSuccess) {
        Ask("cuMemFree_v2", held.block);
      }
      return RouteOf("cuGraphAddMemAllocNode").release();
    });
  }
  return result;
}

// A handle, mapped in parts; each part, the handle and a retained reference go one by one.
CUresult Mapped(Program& program) {
  const Size half = program.Bytes();
  AllocationProperties properties = {};
  properties.type = 1;
  properties.location = {kLocationDevice, card};
  const AllocationProperties* const pointer = &properties;
  CUmemHandle handle = 0;
  CUdeviceptr range = 0;
  CUresult result = Ask("cuMemCreate", &handle, 2 * half, pointer, uint64_t{0});
  if (result != kSuccess) {
    return result;
  }
  program.Keep([handle] { return Ask("cuMemRelease", handle); });
  result = Ask("cuMemAddressReserve", &range, 2 * half, Size{0}, CUdeviceptr{0}, uint64_t{0});
  const bool whole = program.Coin();
  for (Size at = 0; at < 2 * half && result == kSuccess; at += whole ? 2 * half : half) {
    const Size bytes = whole ? 2 * half : half;
    result = Ask("cuMemMap", range + at, bytes, at, handle, uint64_t{0});
    if (result == kSuccess) {
      program.Keep([range, at, bytes] { return Ask("cuMemUnmap", range + at, bytes); });
    }
  }
  CUmemHandle same = 0;
  if (result == kSuccess && program.Coin() &&
      Ask("cuMemRetainAllocationHandle", &same, reinterpret_cast<void*>(range)) == kSuccess) {
    program.Keep([same] { return Ask("cuMemRelease", same); });
  }
  return result;
}

// A pool that is trimmed, holds memory back, and may be destroyed before its blocks.
CUresult OwnPool(Program& program) {
  PoolProperties properties = {};
  properties.alloc_type = 1;
  properties.location = {program.random.Next() % 5 == 0 ? kLocationHost : kLocationDevice, card};
  const PoolProperties* const pointer = &properties;
  CUmemoryPool pool = nullptr;
  CUresult result = Ask("cuMemPoolCreate", &pool, pointer);
  if (result != kSuccess) {
    return result;
  }
  uint64_t threshold = program.Coin() ? UINT64_MAX : 0;
  Ask("cuMemPoolSetAttribute", pool, 4, static_cast<void*>(&threshold));
  for (uint64_t count = program.random.Next() % 4; count > 0; --count) {
    CUdeviceptr block = 0;
    if (Ask("cuMemAllocFromPoolAsync", &block, program.Bytes(), pool, CUstream{}) == kSuccess) {
      program.Keep([block] { return Ask("cuMemFreeAsync", block, CUstream{}); });
    }
    if (program.Coin()) {
      Release(program);
    }
  }
  if (program.Coin()) {
    Ask("cuMemPoolTrimTo", pool, program.Bytes());
  }
  program.Keep([pool] { return Ask("cuMemPoolDestroy", pool); });
  return kSuccess;
}

CUresult Threshold(Program& program) {
  CUmemoryPool pool = nullptr;
  uint64_t threshold = program.Coin() ? UINT64_MAX : 0;
  const CUresult result = Ask("cuDeviceGetDefaultMemPool", &pool, card);
  return result != kSuccess ? result
                            : Ask("cuMemPoolSetAttribute", pool, 4, static_cast<void*>(&threshold));
}

// A context that goes with what was allocated in it.
CUresult Context(Program& program) {
  CUcontext made = nullptr;
  CUresult result = Ask("cuCtxCreate_v2", &made, 0U, card);
  if (result != kSuccess) {
    return result;
  }
  ++program.contexts[card];
  for (uint64_t count = program.random.Next() % 4; count > 0; --count) {
    CUdeviceptr block = 0;
    CUarray array = nullptr;
    const ArrayDescriptor shape = {1024, program.Bytes() / 1024 / 16, 0x20, 4};
    const ArrayDescriptor* const pointer = &shape;
    result = program.Coin() ? Ask("cuMemAlloc_v2", &block, program.Bytes())
                            : Ask("cuArrayCreate_v2", &array, pointer);
  }
  Ask("cuCtxSetCurrent", program.primary[card]);
  program.Keep([&program, made, on = card] {
    const CUresult destroyed = Ask("cuCtxDestroy_v2", made);
    program.contexts[on] -= destroyed == kSuccess ? 1 : 0;
    return destroyed;
  });
  return result;
}

// The primary context goes with what was allocated in it, and comes back.
CUresult Reset(Program& program) {
  const CUresult result = Ask("cuDevicePrimaryCtxReset_v2", card);
  if (result == kSuccess) {
    program.contexts[card] -= program.primary[card] != nullptr ? 1 : 0;
    program.primary[card] = nullptr;
  }
  const CUresult again = Ask("cuDevicePrimaryCtxRetain", &program.primary[card], card);
  program.contexts[card] += again == kSuccess ? 1 : 0;
  Ask("cuCtxSetCurrent", program.primary[card]);
  return result != kSuccess ? result : again;
}

// Memory of the machine is nobody's share of a card.
CUresult OnHost(Program& program) {
  void* block = nullptr;
  AllocationProperties properties = {};
  properties.type = 1;
  properties.location = {kLocationHost, 0};
  const AllocationProperties* const pointer = &properties;
  CUmemHandle handle = 0;
  CUresult result = kSuccess;
  switch (program.random.Next() % 3) {
    case 0:
      result = Ask("cuMemAllocHost_v2", &block, program.Bytes());
      break;
    case 1:
      result = Ask("cuMemHostAlloc", &block, program.Bytes(), 0U);
      break;
    default:
      result = Ask("cuMemCreate", &handle, program.Bytes(), pointer, uint64_t{0});
  }
  if (result == kSuccess) {
    program.Keep([block, handle] {
      return block != nullptr ? Ask("cuMemFreeHost", block) : Ask("cuMemRelease", handle);
    });
  }
  return result;
}

// Another maker's memory, mapped here.
CUresult External(Program& program) {
  struct {
    int type = kHandleFd;
    alignas(8) int fd = -1;
    void* rest = nullptr;
    uint64_t size = kPiece;
    unsigned flags[17] = {};
  } memory;
  const struct {
    uint64_t offset = 0;
    uint64_t size = kPiece;
    unsigned flags[17] = {};
  } buffer;
  void* external = nullptr;
  CUdeviceptr block = 0;
  memory.fd = memfd_create("external", MFD_CLOEXEC);
  if (ftruncate(memory.fd, static_cast<off_t>(kPiece)) != 0) {
    return 1;
  }
  CUresult result = Ask("cuImportExternalMemory", &external, static_cast<const void*>(&memory));
  if (result == kSuccess) {
    result =
        Ask("cuExternalMemoryGetMappedBuffer", &block, external, static_cast<const void*>(&buffer));
    program.Keep([external, block] {
      Ask("cuMemFree_v2", block);
      return Ask("cuDestroyExternalMemory", external);
    });
  }
  return result;
}

// What no driver takes, and nothing may come of: neither an end of the program nor a charge.
CUresult Nonsense(Program& program) {
  CUdeviceptr block = 0;
  CUarray array = nullptr;
  Size pitch = 0;
  const ArrayDescriptor huge = {SIZE_MAX, SIZE_MAX, 0x20, 4};
  const ArrayDescriptor* const shape = &huge;
  AllocationProperties properties = {};
  properties.location = {kLocationDevice, 77};
  const AllocationProperties* const pointer = &properties;
  switch (program.random.Next() % 10) {
    case 0:
      return Ask("cuMemAlloc_v2", &block, Size{0});
    case 1:
      return Ask("cuMemAlloc_v2", &block, SIZE_MAX);
    case 2:
      return Ask("cuMemAllocPitch_v2", &block, &pitch, SIZE_MAX - 3, SIZE_MAX - 3, 4U);
    case 3:
      return Ask("cuArrayCreate_v2", &array, shape);
    case 4:
      return Ask("cuMemFree_v2", CUdeviceptr{0x1234567});
    case 5:
      return Ask("cuMemFreeAsync", CUdeviceptr{0x1234567}, CUstream{});
    case 6:
      return Ask("cuMemRelease", CUmemHandle{0x1234567});
    case 7:
      return Ask("cuMemCreate", &block, kPiece, pointer, uint64_t{0});
    case 8:
      return Ask("cuMemAlloc_v2", static_cast<CUdeviceptr*>(nullptr), kPiece);
    default:
      return Ask("cuMemUnmap", CUdeviceptr{0x1200000}, SIZE_MAX);
  }
}

// For others to import: linear memory by its handle, or a created one by a descriptor.
CUresult Export(Program& program) {
  CUresult result = kSuccess;
  std::ostringstream name;
  if (program.Coin()) {
    CUdeviceptr block = 0;
    unsigned char handle[64] = {};
    result = Ask("cuMemAlloc_v2", &block, kPiece);
    if (result == kSuccess) {
      program.Keep([block] { return Ask("cuMemFree_v2", block); });
      result = Ask("cuIpcGetMemHandle", static_cast<void*>(handle), block);
    }
    name << "ipc";
    for (const unsigned char byte : handle) {
      name << static_cast<char>('a' + byte / 16) << static_cast<char>('a' + byte % 16);
    }
  } else {
    AllocationProperties properties = {};
    properties.type = 1;
    properties.handle_types = kHandleFd;
    properties.location = {kLocationDevice, card};
    const AllocationProperties* const pointer = &properties;
    CUmemHandle handle = 0;
    int file = -1;
    result = Ask("cuMemCreate", &handle, kPiece, pointer, uint64_t{0});
    if (result == kSuccess) {
      program.Keep([handle] { return Ask("cuMemRelease", handle); });
      void* const out = &file;
      result = Ask("cuMemExportToShareableHandle", out, handle, kHandleFd, uint64_t{0});
    }
    name << "/proc/" << getpid() << "/fd/" << file;
  }
  program.said = result == kSuccess ? "export " + name.str() : "export";
  return result;
}

struct IpcHandle {
  unsigned char bytes[64];
};

CUresult Import(Program& program, const std::string& handle) {
  if (!handle.starts_with("ipc")) {
    const int file = open(handle.c_str(), O_RDWR | O_CLOEXEC);
    CUmemHandle made = 0;
    void* const from = reinterpret_cast<void*>(static_cast<intptr_t>(file));
    const CUresult result =
        file < 0 ? kInvalidValue : Ask("cuMemImportFromShareableHandle", &made, from, kHandleFd);
    if (result == kSuccess) {
      program.Keep([made] { return Ask("cuMemRelease", made); });
    }
    close(file);
    return result;
  }
  IpcHandle given = {};
  for (size_t i = 0; i < sizeof(given.bytes); ++i) {
    const int high = handle[3 + 2 * i] - 'a';
    given.bytes[i] = static_cast<unsigned char>(high * 16 + (handle[4 + 2 * i] - 'a'));
  }
  CUdeviceptr block = 0;
  const CUresult result = Ask("cuIpcOpenMemHandle_v2", &block, given, 1U);
  if (result == kSuccess) {
    program.Keep([block] { return Ask("cuIpcCloseMemHandle", block); });
  }
  return result;
}

struct Deed {
  const char* name;
  CUresult (*act)(Program& program);
  uint64_t weight;
};
constexpr Deed kDeeds[] = {
    {"route", Route, 12},
    {"release", Release, 14},
    {"lasting-graph", LastingGraph, 3},
    {"mapped", Mapped, 4},
    {"pool", OwnPool, 3},
    {"threshold", Threshold, 1},
    {"context", Context, 2},
    {"reset", Reset, 1},
    {"host", OnHost, 1},
    {"external", External, 1},
    {"nonsense", Nonsense, 3},
    {"export", Export, 2},
};

CUresult Act(Program& program, uint64_t seed) {
  program.random = SeededRandom(seed);
  uint64_t sum = 0;
  for (const Deed& deed : kDeeds) {
    sum += deed.weight;
  }
  uint64_t at = program.random.Next() % sum;
  for (const Deed& deed : kDeeds) {
    if (at < deed.weight) {
      program.said = deed.name;
      return deed.act(program);
    }
    at -= deed.weight;
  }
  return kSuccess;
}

void Synchronize(Program& program) {
  for (card = kCards - 1; card >= 0; --card) {
    Ask("cuCtxSetCurrent", program.primary[card]);
    Ask("cuCtxSynchronize");
  }
  card = 0;
}

void FreeAll(Program& program) {
  while (!program.holdings.empty()) {
    GiveBack(program, program.holdings.size() - 1);
  }
  for (card = kCards - 1; card >= 0; --card) {
    CUmemoryPool pool = nullptr;
    uint64_t threshold = 0;
    Ask("cuCtxSetCurrent", program.primary[card]);
    Ask("cuDeviceGetDefaultMemPool", &pool, card);
    Ask("cuMemPoolSetAttribute", pool, 4, static_cast<void*>(&threshold));
    Ask("cuCtxSynchronize");
    Ask("cuMemPoolTrimTo", pool, Size{0});
    Ask("cuDeviceGraphMemTrim", card);
  }
  card = 0;
}

// Both cards' contexts, charged where there is room.
bool Begin(Program& program) {
  bool well = Ask("cuInit", 0U) == kSuccess;
  for (card = kCards - 1; well && card >= 0; --card) {
    CUdeviceptr block = 0;
    well = Ask("cuDevicePrimaryCtxRetain", &program.primary[card], card) == kSuccess;
    Ask("cuCtxSetCurrent", program.primary[card]);
    if (well && Ask("cuMemAlloc_v2", &block, kPiece) == kSuccess) {
      Ask("cuMemFree_v2", block);
    }
    program.contexts[card] = 1;
  }
  card = 0;
  return well;
}

std::string Contexts(const Program& program) {
  return "0 " + std::to_string(program.contexts[0]) + " " + std::to_string(program.contexts[1]);
}

void StopAt(const std::string& point, int nth, int socket) {
  reinterpret_cast<void (*)(const char*, int, int)>(dlsym(RTLD_DEFAULT, "SluiceStopAt"))(
      point.c_str(), nth, socket);
}

std::string Answer(Program& program, const std::string& message, int socket) {
  std::istringstream words(message);
  std::string verb;
  std::string name;
  uint64_t number = 0;
  words >> verb;
  if (verb == "sync") {
    Synchronize(program);
    return Contexts(program);
  }
  if (verb == "free") {
    FreeAll(program);
    return Contexts(program);
  }
  if (verb == "stop") {
    words >> name >> number;
    StopAt(name, static_cast<int>(number), socket);
    return "0 stop";
  }
  words >> card;
  Ask("cuCtxSetCurrent", program.primary[card]);
  if (verb == "import" && words >> name) {
    return std::to_string(Import(program, name)) + " import";
  }
  words >> number;
  if (verb == "fill") {
    CUdeviceptr block = 0;
    return std::to_string(Ask("cuMemAlloc_v2", &block, number));
  }
  const CUresult result = Act(program, number);
  return std::to_string(result) + " " + program.said;
}

[[noreturn]] void Serve(int socket, const std::string& visible, const std::string& fault) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGCHLD, SIG_DFL);
  if (visible != "-") setenv("CUDA_VISIBLE_DEVICES", visible.c_str(), 1);
  if (fault == "slot") {
    StopAt(fault, 1, socket);
  } else if (fault != "-") {
    setenv("SLUICE_SIMGPU_FAULT", fault.c_str(), 1);
  }
  char message[512];
  // What an ended program before this one was told.
  while (recv(socket, message, sizeof(message), MSG_DONTWAIT) > 0) {
  }
  Program program;
  auto say = [socket](const std::string& text) {
    return send(socket, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
  };
  const bool began = Begin(program);
  say(began ? "ready" : "failed");
  for (ssize_t got = 0; began && (got = recv(socket, message, sizeof(message), 0)) > 0;) {
    if (!say(Answer(program, std::string(message, static_cast<size_t>(got)), socket))) {
      break;
    }
  }
  _exit(0);
}

}  // namespace
}  // namespace sluice::shim

int main() {
  using namespace sluice::shim;
  signal(SIGCHLD, SIG_IGN);  // Ended programs leave nothing to be waited for.
  Find("cuInit", "cuInit", 2000);
  int socket = -1;
  std::string visible;
  std::string fault;
  while (std::cin >> socket >> visible >> fault) {
    const pid_t child = fork();
    if (child == 0) {
      Serve(socket, visible, fault);
    }
    printf("%d\n", child);
    fflush(stdout);
  }
  return 0;
}
