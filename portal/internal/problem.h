// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "net/http.h"

namespace sluice::portal {

// Every way in which the API says no. The table in problem.cc gives each its name, status and
// title; the names are in openapi.yaml.
enum class ProblemCode {
  kBadRequest,
  kMalformedJson,
  kIdempotencyKeyRequired,
  kUnauthenticated,
  kWrongCredentials,
  kForbidden,
  kCsrf,
  kForeignOrigin,
  kPasswordChangeRequired,
  kQuotaExceeded,
  kNotFound,
  kMethodNotAllowed,
  kStateConflict,
  kShareInUse,
  kAlreadyExists,
  kStaleVersion,
  kTooLarge,
  kUnsupportedMediaType,
  kInvalidField,
  kOverShareLimit,
  kNoSuchGpu,
  kUnknownTemplate,
  kTemplateUnavailable,
  kIdempotencyMismatch,
  kPreconditionRequired,
  kRateLimited,
  kLockedOut,
  kInternal,
  kUnavailable,
};

struct ProblemRow {
  ProblemCode code;
  std::string_view name;
  int status;
  std::string_view title;
};
std::span<const ProblemRow> ProblemTable();
const ProblemRow& RowOf(ProblemCode code);

struct FieldError {
  std::string pointer;  // "/gpu/memory_bytes"; "?limit" for a query parameter.
  std::string code;     // "required", "unknown", "type", "range", "text".
  std::string detail;
};

// What else could be asked for instead.
struct Alternative {
  std::string gpu_model;
  Bytes memory;
  std::string answer;
};

struct Problem {
  ProblemCode code = ProblemCode::kInternal;
  std::string detail;
  std::vector<FieldError> errors;
  std::vector<Alternative> alternatives;
  std::string summary;        // Of what the cards say to the request; empty: nothing to say.
  int64_t retry_after_s = 0;  // 0: not said.
};

// What a handler answers.
using Answer = tl::expected<net::Response, Problem>;
template <typename T>
using OrProblem = tl::expected<T, Problem>;

// For `return No(ProblemCode::kNotFound, "…")`.
tl::unexpected<Problem> No(ProblemCode code, std::string detail);
tl::unexpected<Problem> No(Problem problem);
// One wrong field.
tl::unexpected<Problem> NoField(ProblemCode code, std::string pointer, std::string detail);

// The mapping of our own error codes to problems. A message of kInternal, kDataLoss and kUnknown
// stays in the log: it may name files.
Problem FromError(const Error& error);
tl::unexpected<Problem> No(const Error& error);

// application/problem+json, with Retry-After when the problem has one.
net::Response Render(const Problem& problem,
                     std::string_view instance,
                     std::string_view request_id);

}  // namespace sluice::portal
