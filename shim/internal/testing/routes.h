// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "shim/internal/abi.h"

// The ways to take a card's memory, for the probe: each as a program would go it.
namespace sluice::shim {

// How functions are looked up; see probe.cc.
extern std::string lookup;

// The function of that symbol, which goes by `base` and `version` for cuGetProcAddress.
void* Find(const std::string& symbol, const std::string& base, int version);

// The probe's answer for a call that the driver does not have.
inline constexpr CUresult kNotInDriver = 500;

// Calls by symbol.
template <typename... A>
CUresult Ask(const char* symbol, A... arguments) {
  std::string base = symbol;
  int version = 13000;
  if (base.ends_with("_ptsz")) {
    base.resize(base.size() - 5);
  }
  if (base.size() > 3 && base[base.size() - 3] == '_' && base[base.size() - 2] == 'v') {
    base.resize(base.size() - 3);
  } else if (base == "cuMemAlloc" || base == "cuMemAllocPitch" || base == "cuArrayCreate" ||
             base == "cuArray3DCreate" || base == "cuMemFree" || base == "cuCtxCreate") {
    version = 3010;  // The historic form.
  }
  void* const found = Find(symbol, base, version);
  return found == nullptr ? kNotInDriver
                          : reinterpret_cast<CUresult (*)(A...)>(found)(arguments...);
}

using Size = size_t;
constexpr Size kMib = Size{1} << 20;
// The tiny driver never comes back from an allocation of this size.
constexpr Size kEndless = 7 * kMib;

// The card, as the driver counts, whose memory the routes take.
extern CUdevice card;

// Starts the driver and makes the first card's primary context current. Ends the process if it
// cannot.
CUcontext Start();

struct Route {
  const char* name;
  CUresult (*allocate)(Size bytes);
  CUresult (*release)();
};

// What a route's last allocation gave; kept aside while another route is at work.
struct Held {
  CUdeviceptr block = 0;
  unsigned block_v1 = 0;
  Size pitch = 0;
  unsigned pitch_v1 = 0;
  CUarray array = nullptr;
  CUmipmappedArray mipmapped = nullptr;
  CUmemHandle handle = 0;
  CUgraph graph = nullptr;
  CUgraphExec exec = nullptr;
};
extern Held held;
// Whether what a graph allocates outlives its launch.
extern bool keep_graph_memory;

struct RouteList {
  const Route* first;
  size_t count;
  const Route* begin() const { return first; }
  const Route* end() const { return first + count; }
};
RouteList Routes();
const Route& RouteOf(const char* name);

}  // namespace sluice::shim
