// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sim/timed.h"
#include "sim/timed_trace.h"

// Timed replays told to programs.
namespace sluice::sim {

// {"claims", "waited", "mean", "p50", "p95", "p99", "max"}, in seconds.
nlohmann::json ToJson(const WaitFigures& wait);

// What is counted whoever asks: {"claims", "starts", "refused", "wait_s": {…}, "longest_queue",
// "gpu_hours_held", "gpu_hours_lost", "utilisation_pct", "offered_pct", "hours"}.
nlohmann::json FiguresToJson(const TimedResult& result);

// {"discipline", "claims", "starts", "refused", "moves", "gpu_hours_restarting", "wait_s": {…},
// "wait_by_size_s": {size: {…}}, "longest_queue", "gpu_hours_held", "gpu_hours_lost",
// "utilisation_pct", "offered_pct", "hours", "estimates": {"asked", "given", "inside", "early",
// "late", "inside_pct", "width_s"}}. `inside_pct` is null when no range was given.
nlohmann::json ToJson(const TimedResult& result, Discipline discipline);

// What was played: {"machines", "cards", "claims", "pace", "left_out": {…}}.
nlohmann::json ToJson(const TimedTrace& trace);

}  // namespace sluice::sim
