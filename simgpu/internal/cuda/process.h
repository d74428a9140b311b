// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "simgpu/internal/abi/cuda.h"
#include "simgpu/internal/cuda/engine.h"
#include "simgpu/internal/cuda/memory.h"
#include "simgpu/internal/cuda/vmm.h"
#include "simgpu/internal/device_map.h"

// One call of the driver: C linkage, whatever namespace it stands in.
#define SLUICE_SIM_CALL extern "C" __attribute__((visibility("default"))) CUresult

// The state of the simulated driver in one process. Made by the first cuInit that succeeds and
// never destroyed: calls may still come while the process is ending.
namespace sluice::simgpu {

struct Array;
struct Context;
struct Event;
struct Function;
struct Graph;
struct GraphExec;
struct GraphNode;
struct MipmappedArray;
struct Module;
struct Pool;
struct UserObject;

// One card, or a part of one, as this process sees it.
struct Device {
  int unit = 0;          // In the map.
  int card = 0;          // Position in the scene, which is its place on the bus.
  int64_t capacity = 0;  // Bytes, without what the driver keeps.
  std::string name;
  std::string card_uuid;
  std::string uuid;  // A part's own, else the card's.
  int multiprocessors = 0;
  int primary_retains = 0;
  unsigned primary_flags = 0;
  CUcontext primary = nullptr;
  CUmemoryPool pool = nullptr;  // Chosen by cuDeviceSetMemPool; null: the default one.
};

struct ExternalMemory {
  int fd = -1;
  uint64_t bytes = 0;
};

struct Process {
  Process(const Scene& scene_read, const DeviceMap& map_opened);
  ~Process() = delete;

  Scene scene;
  DeviceMap map;
  std::vector<Device> devices;

  // Guards everything reachable from here but `map`. Never held while waiting for the engine.
  std::mutex mutex;

  std::vector<std::unique_ptr<Context>> contexts;  // Never shrinks: a stale handle stays readable.
  std::set<const Context*> context_handles;
  Memory memory;
  std::map<CUstream, std::shared_ptr<Stream>> streams;  // Those that the program made.
  std::map<CUevent, std::shared_ptr<Event>> events;
  std::vector<std::shared_ptr<Capture>> captures;  // Under way.
  std::vector<std::unique_ptr<Pool>> pools;
  Vmm vmm;
  std::set<const Array*> arrays;
  std::set<const MipmappedArray*> mipmapped;
  std::map<CUdeviceptr, GraphMemory> graph_memory;
  std::vector<GraphMemoryUse> graph_memory_use;  // By device.
  std::set<const Module*> modules;
  std::set<const Function*> functions;
  std::map<void*, std::unique_ptr<ExternalMemory>> external;
  std::set<const void*> linkers;
  std::set<const void*> resource_descs;
  std::set<const Graph*> graphs;
  std::set<const GraphNode*> graph_nodes;
  std::set<const GraphExec*> graph_execs;
  std::set<const UserObject*> user_objects;
  unsigned long long last_id = 0;  // Of streams, captures and graphs.

  Engine engine;  // Has a mutex of its own, taken after `mutex`.
};

// The process's state; null before cuInit succeeded.
Process* CurrentProcess();

// CUDA_SUCCESS when initialised, and not the child of a process that was.
CUresult Initialised();

// As Initialised; waits while the process is suspended.
CUresult Ready();

// As Ready, and a living context is current.
CUresult ReadyWithContext();

// The places where a test may have this process fail: $SLUICE_SIMGPU_FAULT is POINT:N:WHAT, which
// strikes the Nth time that the point is passed (from then on for a delay). WHAT: `kill` (SIGKILL),
// an error's number, or `delayMS`. Points: init, context, charge, charged, uncharge, submit, copy.
CUresult PassPoint(std::string_view point);

// Charges a card. CUDA_ERROR_OUT_OF_MEMORY when it does not fit. Waits as long as the scene's slow
// driver takes.
CUresult ChargeCard(int device, int64_t bytes);
void UnchargeCard(int device, int64_t bytes);

// `ordinal` names a device of this process.
bool IsDevice(CUdevice ordinal);

}  // namespace sluice::simgpu
