// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

// How HAMi 2.10 decides, per request, as its source tells it: what is used of all nodes is counted
// afresh from all placed pods, each node's cards are copied and sorted, every node is scored by
// slots, memory and cores, and the list is sorted. Nothing is kept between requests. Written here
// to be timed beside the placer in one language on one machine; HAMi runs one goroutine per node
// and talks to the API server besides, neither of which is counted.
namespace sluice::sim::bench {

struct PeerRequest {
  int count = 1;
  int64_t memory_mib = 0;
  int32_t cores = 0;  // Percent of a card.
};

class Peer {
 public:
  void AddNode(const std::string& name, int cards, int64_t memory_mib);
  // Decides and remembers the placement, or false.
  bool Place(const PeerRequest& request);
  // Decides only.
  bool Decide(const PeerRequest& request);
  // Remembers a pod without deciding. `cards` by position on the node.
  void Put(size_t node, const std::vector<int>& cards, const PeerRequest& request);

 private:
  struct Device {
    std::string uuid;
    std::string type;
    int64_t memory_mib = 0;
    int64_t used_memory_mib = 0;
    int32_t used_cores = 0;
    int32_t slots = 10;
    int32_t used_slots = 0;
    bool healthy = true;
  };
  struct Node {
    std::string name;
    std::vector<Device> devices;
  };
  struct PodDevice {
    std::string uuid;
    int64_t memory_mib = 0;
    int32_t cores = 0;
  };
  struct Pod {
    std::string node;
    std::vector<PodDevice> devices;
  };
  struct Scored {
    const Node* node = nullptr;
    double score = 0;
    std::vector<PodDevice> devices;
  };

  std::unordered_map<std::string, Node> Usage() const;
  static bool FitNode(Node node, const PeerRequest& request, Scored& scored);
  bool Best(const PeerRequest& request, Scored& best, std::string& node) const;

  std::vector<Node> nodes_;
  std::vector<Pod> pods_;
};

}  // namespace sluice::sim::bench
