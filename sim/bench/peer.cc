// SPDX-License-Identifier: Apache-2.0
#include "sim/bench/peer.h"

#include <algorithm>
#include <utility>

namespace sluice::sim::bench {

void Peer::AddNode(const std::string& name, int cards, int64_t memory_mib) {
  Node node{.name = name};
  for (int i = 0; i < cards; ++i) {
    // As long as the names that a card has.
    const std::string uuid = "GPU-00000000-0000-0000-" + name + "-" + std::to_string(i);
    node.devices.push_back({.uuid = uuid, .type = "NVIDIA A10", .memory_mib = memory_mib});
  }
  nodes_.push_back(std::move(node));
}

void Peer::Put(size_t node, const std::vector<int>& cards, const PeerRequest& request) {
  Pod pod{.node = nodes_[node].name};
  for (const int card : cards) {
    const Device& device = nodes_[node].devices[static_cast<size_t>(card)];
    pod.devices.push_back({device.uuid, request.memory_mib, request.cores});
  }
  pods_.push_back(std::move(pod));
}

std::unordered_map<std::string, Peer::Node> Peer::Usage() const {
  std::unordered_map<std::string, Node> usage;
  for (const Node& node : nodes_) usage[node.name] = node;
  for (const Pod& pod : pods_) {
    const auto node = usage.find(pod.node);
    if (node == usage.end()) continue;
    for (const PodDevice& held : pod.devices) {
      for (Device& device : node->second.devices) {
        if (device.uuid != held.uuid) continue;
        ++device.used_slots;
        device.used_memory_mib += held.memory_mib;
        device.used_cores += held.cores;
      }
    }
  }
  return usage;
}

bool Peer::FitNode(Node node, const PeerRequest& request, Scored& scored) {
  double used = 0;
  for (const Device& device : node.devices) {
    used += static_cast<double>(device.used_slots) / device.slots +
            static_cast<double>(device.used_memory_mib) / static_cast<double>(device.memory_mib) +
            static_cast<double>(device.used_cores) / 100;
  }
  std::ranges::sort(node.devices, [](const Device& a, const Device& b) {
    return a.used_slots != b.used_slots ? a.used_slots > b.used_slots
                                        : a.used_memory_mib > b.used_memory_mib;
  });
  scored.score = used / static_cast<double>(std::max<size_t>(node.devices.size(), 1));
  for (const Device& device : node.devices) {
    if (scored.devices.size() == static_cast<size_t>(request.count)) break;
    const bool fits = device.healthy && device.type.find("NVIDIA") != std::string::npos &&
                      device.used_slots < device.slots &&
                      device.memory_mib - device.used_memory_mib >= request.memory_mib &&
                      100 - device.used_cores >= request.cores &&
                      (request.cores < 100 || device.used_slots == 0);
    if (fits) scored.devices.push_back({device.uuid, request.memory_mib, request.cores});
  }
  return scored.devices.size() == static_cast<size_t>(request.count);
}

bool Peer::Best(const PeerRequest& request, Scored& best, std::string& node) const {
  const std::unordered_map<std::string, Node> usage = Usage();
  std::vector<Scored> fitting;
  for (const auto& [name, state] : usage) {
    Scored scored{.node = &state};
    if (FitNode(state, request, scored)) fitting.push_back(std::move(scored));
  }
  if (fitting.empty()) return false;
  std::ranges::sort(fitting, [](const Scored& a, const Scored& b) {
    return a.score != b.score ? a.score < b.score : a.node->name < b.node->name;
  });
  best = std::move(fitting.back());
  node = best.node->name;
  return true;
}

bool Peer::Decide(const PeerRequest& request) {
  Scored best;
  std::string node;
  return Best(request, best, node);
}

bool Peer::Place(const PeerRequest& request) {
  Scored best;
  std::string node;
  if (!Best(request, best, node)) return false;
  pods_.push_back({node, std::move(best.devices)});
  return true;
}

}  // namespace sluice::sim::bench
