// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "scheduler/ledger.h"

// What a pod's annotations say of where it may go, in the words of HAMi 2.10 (its pkg/util and
// pkg/device/nvidia), put to the rules of a demand.
namespace sluice::scheduler {

struct Annotation {
  std::string key;
  std::string value;
};

// Changes the demand by one annotation; false if the key says nothing of placement. `models` are
// those of the fleet's cards, for words that are a part of a model's name, large letters or small.
//
//   hami.io/node-scheduler-policy   binpack, spread
//   hami.io/gpu-scheduler-policy    a list of binpack or spread, numa, topology-aware, mutex
//   nvidia.com/use-gputype          a list of parts of models' names; nouse-gputype: not these
//   nvidia.com/use-gpuuuid          a list of cards; nouse-gpuuuid: not these
//   nvidia.com/numa-bind            true, false
//
// kInvalidArgument, with the key as its field and the values there are, for another value (where
// HAMi takes its default without a word). `demand` is then as it was.
Result<bool> ApplyAnnotation(Demand& demand,
                             const Annotation& annotation,
                             std::span<const std::string> models);

}  // namespace sluice::scheduler
