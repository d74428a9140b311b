// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/units.h"
#include "shim/region.h"
#include "simgpu/scene.h"

namespace sluice::shim {

// For tests, here and in other folders: a share without a sandbox. Simulated cards, pages made by
// hand or by an agent, and a mount namespace in which programs see both and are given the
// interposer. Needs root or user namespaces, and the targets sluice_cuda, simgpu_cuda and
// simgpu_nvml built. One thread at a time.
class ShareBox {
 public:
  struct Options {
    std::string fleet = "1x24GiB";
    Bytes limit = GiB(1);
    Bytes context{0};           // Charged for a process's first context.
    Bytes real_context{0};      // What the simulated card takes for one.
    bool shared = true;         // False: no pages and no interposer: the bare driver.
    bool preload = true;        // False: the share is there, the interposer is not.
    std::string driver_folder;  // Instead of the simulated cards' libraries.
    std::string
        peer_library;        // Preloaded instead of the interposer, at kPeerPath; shared is false.
    std::string interposer;  // Instead of the product's.
    // The libraries of shim/hardened/ stand in the driver's place. Where SLUICE_TEST_HARDENED is in
    // the environment, in every box.
    bool hardened = false;
    // Changes what the simulated cards pretend to be.
    std::function<void(simgpu::Scene&)> scene;
    bool own_pids = false;  // Programs count processes from 1, as in a sandbox.
  };
  static constexpr const char* kPeerPath = "/run/sluice/lib/peer.so";
  explicit ShareBox(const Options& options);
  ShareBox() : ShareBox(Options{}) {}
  ShareBox(const ShareBox&) = delete;
  ShareBox& operator=(const ShareBox&) = delete;
  ~ShareBox();  // Ends what was started in it.

  struct Outcome {
    int status = -1;  // Exit status, or 128 + signal.
    std::string output;
  };
  // Runs a program to its end. `environment` is all it gets.
  Outcome Run(const std::vector<std::string>& argv,
              const std::vector<std::string>& environment = {});

  // Starts a program whose standard input and output are ours.
  struct Started {
    pid_t pid = -1;
    int to = -1;
    int from = -1;
  };
  Started Start(const std::vector<std::string>& argv,
                const std::vector<std::string>& environment = {});
  // Closes its input and waits for its end.
  int Finish(Started& started);
  void Kill(Started& started);

  region::PolicyPage& policy() { return *policy_; }
  region::LedgerPage& ledger() { return *ledger_; }
  int ledger_file() const { return ledger_file_; }
  const std::string& folder() const { return folder_; }
  std::string state_folder() const { return folder_ + "/state"; }

  // From now on programs get the pages of this folder (an agent's), instead of the own ones.
  void UseRegion(const std::string& folder) { region_folder_ = folder; }

  // What the probes print of a call that the driver does not have: a front finds the interposer's.
  const char* Missing() const { return options_.hardened ? "801" : "500"; }

  // The UUID of the scene's card by position.
  const std::string& Uuid(size_t card) const { return scene_.cards.at(card).uuid; }

  // One line of a started program; empty at its end.
  static std::string ReadLine(int from);

 private:
  void MakePages();
  void MakeEtc();
  void Enter() const;  // In a child.

  Options options_;
  std::string folder_;
  std::string region_folder_;
  pid_t creator_;
  simgpu::Scene scene_;
  region::PolicyPage* policy_ = nullptr;
  region::LedgerPage* ledger_ = nullptr;
  int ledger_file_ = -1;
  std::vector<pid_t> running_;
};

}  // namespace sluice::shim
