// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/local_agent.h"
#include "device/backend.h"
#include "shim/share_box.h"
#include "simgpu/truth.h"

// Simulated cards with programs on them, for ./dev bench vcuda: under our agent and interposer,
// under a peer's library, or under nothing.
namespace sluice::bench {

using Seconds = std::chrono::duration<double>;

struct Side {
  enum class Kind { kOurs, kNative, kPeer };
  Kind kind = Kind::kOurs;
  std::string library;                   // kPeer.
  std::string name;                      // For the lines; empty: ours.
  bool alone = false;                    // kPeer: it is measured with one share only.
  std::vector<std::string> environment;  // kPeer; {percent}, {mib}, {share}, {uuid}.
};

// A share of the card, with one program that is ready to work. By position in the scene.
struct Tenant {
  int64_t percent = 0;
  shim::ShareBox::Started program;
};

// One card of 24 GiB. One thread at a time.
class Scene {
 public:
  explicit Scene(const Side& side);
  ~Scene();

  // Adds a share and starts its program. Returns its place; none when the program did not get ready
  // within 20 s (a peer's: ours ends the bench).
  std::optional<size_t> Add(int64_t percent);
  // Lets its program do something; see worker.cc.
  void Tell(size_t tenant, const std::string& line);
  // The program's next line.
  std::string Hear(size_t tenant);
  void Kill(size_t tenant);
  // Whether a program in that share is given so much memory.
  bool CanAllocate(size_t tenant, Bytes bytes);

  // Of the card, for so long, as the simulated card itself says.
  Seconds Busy(size_t tenant);
  // What each had of the card in `window` from now on, in points of 100.
  std::vector<double> Parts(Seconds window);

 private:
  std::vector<std::string> EnvironmentOf(size_t tenant) const;
  std::string ShareOf(size_t tenant) const { return "clm_" + std::to_string(tenant); }
  void Enter(size_t tenant);

  Side side_;
  std::unique_ptr<shim::ShareBox> box_;
  std::unique_ptr<device::Backend> backend_;
  std::unique_ptr<agent::Agent> agent_;
  std::optional<simgpu::Truth> truth_;
  std::vector<Tenant> tenants_;
};

}  // namespace sluice::bench
