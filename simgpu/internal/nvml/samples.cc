// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <ctime>

#include "simgpu/internal/nvml/library.h"

// What the cards did lately, in buckets of a sixth of a second: the newest is never shown, so a
// reader sees a card's work up to a third of a second late, as NVML's.
namespace sluice::simgpu {
namespace {

struct Sample {
  int64_t pid = 0;                 // 0: the card as a whole.
  unsigned long long time_us = 0;  // Of the bucket's end, since the epoch.
  unsigned percent = 0;
};

unsigned Percent(uint32_t busy_us) {
  return static_cast<unsigned>(std::min<uint64_t>(uint64_t{busy_us} * 100'000 / kSampleNs, 100));
}

// When a bucket ended, on the clock that NVML's time stamps use.
unsigned long long EndOf(const NvmlCard& card, int64_t bucket) {
  timespec wall{};
  ::clock_gettime(CLOCK_REALTIME, &wall);
  int64_t wall_ns = int64_t{wall.tv_sec} * 1'000'000'000 + wall.tv_nsec;
  int64_t end_ns =
      wall_ns - card.view.reader.Now(card.view.scene.virtual_clock) + (bucket + 1) * kSampleNs;
  return static_cast<unsigned long long>(end_ns / 1000);
}

// The card's buckets that ended after `since_us`, oldest first.
std::vector<Sample> OfCard(const NvmlCard& card, unsigned long long since_us) {
  std::vector<Sample> samples;
  int64_t last = LastBucket(card);
  for (int64_t bucket = std::max<int64_t>(last - kCardSamples + 2, 0); bucket <= last; ++bucket) {
    unsigned long long time_us = EndOf(card, bucket);
    if (time_us <= since_us) continue;
    uint32_t busy_us = card.view.reader.BusyUs(card.unit.number, -1, bucket);
    samples.push_back({0, time_us, card.scene().Has("zero_utilization") ? 0 : Percent(busy_us)});
  }
  return samples;
}

// For each process that worked after `since_us`: its newest bucket.
std::vector<Sample> OfProcesses(const NvmlCard& card, unsigned long long since_us) {
  std::vector<Sample> samples;
  int64_t last = LastBucket(card);
  for (const MapProcess& process : card.view.reader.Processes(card.unit.number)) {
    if (process.pid <= 0) continue;
    for (int64_t bucket = last; bucket > last - kSamples + 1 && bucket >= 0; --bucket) {
      uint32_t busy_us = card.view.reader.BusyUs(card.unit.number, process.slot, bucket);
      unsigned long long time_us = EndOf(card, bucket);
      if (busy_us == 0 || time_us <= since_us) continue;
      samples.push_back({process.pid, time_us, Percent(busy_us)});
      break;
    }
  }
  return samples;
}

nvmlReturn_t ProcessSamples(nvmlDevice_t device,
                            int since,
                            unsigned long long since_us,
                            std::vector<Sample>& samples) {
  std::optional<NvmlCard> card;
  nvmlReturn_t found = Find(device, card);
  if (found != NVML_SUCCESS) return found;
  if (card->view.scene.cuda_version < since) return NVML_ERROR_FUNCTION_NOT_FOUND;
  if (card->scene().InMigMode()) return NVML_ERROR_NOT_SUPPORTED;
  if (card->scene().Has("no_process_list")) return NVML_ERROR_NOT_SUPPORTED;
  samples = OfProcesses(*card, since_us);
  if (card->scene().Has("foreign_pids_in_utilization")) {
    for (Sample& sample : samples) sample.pid += kForeignPid;
  }
  return samples.empty() ? NVML_ERROR_NOT_FOUND : NVML_SUCCESS;
}

}  // namespace

SLUICE_SIM_NVML nvmlDeviceGetSamples(nvmlDevice_t device,
                                     int kind,
                                     unsigned long long since_us,
                                     int* value_type,
                                     unsigned* count,
                                     nvmlSample_t* out) {
  constexpr int kGpuUtilization = 1;
  constexpr int kMemoryUtilization = 2;
  constexpr int kUnsignedInt = 1;
  std::optional<NvmlCard> card;
  nvmlReturn_t found = Find(device, card);
  if (found != NVML_SUCCESS) return found;
  if (value_type == nullptr || count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (card->scene().InMigMode()) return NVML_ERROR_NOT_SUPPORTED;
  if (kind != kGpuUtilization && kind != kMemoryUtilization) return NVML_ERROR_NOT_SUPPORTED;
  *value_type = kUnsignedInt;
  if (out == nullptr) {
    *count = kCardSamples;
    return NVML_SUCCESS;
  }
  std::vector<Sample> samples = OfCard(*card, since_us);
  if (samples.empty()) return NVML_ERROR_NOT_FOUND;
  // When there is not room for all, the newest matter.
  size_t skip = samples.size() > *count ? samples.size() - *count : 0;
  *count = static_cast<unsigned>(samples.size() - skip);
  for (size_t i = skip; i < samples.size(); ++i) {
    nvmlSample_t& to = out[i - skip];
    to.timeStamp = samples[i].time_us;
    to.sampleValue.ullVal = 0;
    to.sampleValue.uiVal = kind == kGpuUtilization ? samples[i].percent : samples[i].percent / 2;
  }
  return NVML_SUCCESS;
}

SLUICE_SIM_NVML nvmlDeviceGetProcessUtilization(nvmlDevice_t device,
                                                nvmlProcessUtilizationSample_t* out,
                                                unsigned* count,
                                                unsigned long long since_us) {
  if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  std::vector<Sample> samples;
  nvmlReturn_t got = ProcessSamples(device, 0, since_us, samples);
  if (got != NVML_SUCCESS) return got;
  unsigned room = out == nullptr ? 0 : *count;
  *count = static_cast<unsigned>(samples.size());
  if (samples.size() > room) return NVML_ERROR_INSUFFICIENT_SIZE;
  for (size_t i = 0; i < samples.size(); ++i) {
    out[i] = {};
    out[i].pid = static_cast<unsigned>(samples[i].pid);
    out[i].timeStamp = samples[i].time_us;
    out[i].smUtil = samples[i].percent;
    out[i].memUtil = samples[i].percent / 2;
  }
  return NVML_SUCCESS;
}

SLUICE_SIM_NVML nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device,
                                                      nvmlProcessesUtilizationInfo_v1_t* info) {
  if (info == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (info->version != NvmlVersion<nvmlProcessesUtilizationInfo_v1_t>(1)) {
    return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  }
  std::vector<Sample> samples;
  nvmlReturn_t got = ProcessSamples(device, kDriver535, info->lastSeenTimeStamp, samples);
  if (got != NVML_SUCCESS) return got;
  unsigned room = info->procUtilArray == nullptr ? 0 : info->processSamplesCount;
  info->processSamplesCount = static_cast<unsigned>(samples.size());
  if (samples.size() > room) return NVML_ERROR_INSUFFICIENT_SIZE;
  for (size_t i = 0; i < samples.size(); ++i) {
    info->procUtilArray[i] = {};
    info->procUtilArray[i].timeStamp = samples[i].time_us;
    info->procUtilArray[i].pid = static_cast<unsigned>(samples[i].pid);
    info->procUtilArray[i].smUtil = samples[i].percent;
    info->procUtilArray[i].memUtil = samples[i].percent / 2;
  }
  return NVML_SUCCESS;
}

// Every field is one that the simulated card does not have; each says so for itself.
SLUICE_SIM_NVML nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t* values) {
  std::optional<NvmlCard> card;
  nvmlReturn_t found = Find(device, card);
  if (found != NVML_SUCCESS) return found;
  if (count < 0 || values == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  for (int i = 0; i < count; ++i) values[i].nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
  return NVML_SUCCESS;
}

SLUICE_SIM_NVML nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned* use, unsigned* us) {
  std::optional<NvmlCard> card;
  nvmlReturn_t found = Find(device, card);
  if (found != NVML_SUCCESS) return found;
  if (use == nullptr || us == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *use = 0;
  *us = static_cast<unsigned>(kSampleNs / 1000);
  return NVML_SUCCESS;
}
SLUICE_SIM_NVML nvmlDeviceGetDecoderUtilization(nvmlDevice_t device, unsigned* use, unsigned* us) {
  return nvmlDeviceGetEncoderUtilization(device, use, us);
}

}  // namespace sluice::simgpu
