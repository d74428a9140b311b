// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "shim/share_box.h"

namespace sluice::shim::bench {

// A peer's library beside ours, from SLUICE_PEER_HAMI_CORE (tools/peers/hami-core builds it).
struct Peer {
  std::string library;
  std::string name;  // With the commit, from LIBRARY.commit.
};
// With an empty library where there is none; ends the program if what is named is not there.
Peer PeerFromEnvironment();

// One of what is compared: the bare driver, ours, or a peer.
class Side {
 public:
  enum class Kind { kNative, kOurs, kPeer };
  // With the memory that a program may have; `driver_folder` as of ShareBox::Options.
  Side(Kind kind, Bytes limit, const std::string& driver_folder, const Peer& peer = {});

  Kind kind() const { return kind_; }
  ShareBox& box() { return *box_; }
  // What a program gets; `capped` to half a card. Ours is not told by variables.
  std::vector<std::string> Environment(bool capped) const;

 private:
  Kind kind_;
  Bytes limit_;
  std::unique_ptr<ShareBox> box_;
};

// One JSON line. `peer` is empty for ours.
struct Line {
  std::string name;
  double value = 0;
  std::string unit;
  int n = 1;
  std::string config;
  std::string peer;
};
void Print(const Line& line);

// Asks 10 GiB by each known route to memory, under a limit of 1 GiB, of simulated cards: a line for
// each side and route, and one with the worst.
void CompareWaysRound(const Peer& peer);

}  // namespace sluice::shim::bench
