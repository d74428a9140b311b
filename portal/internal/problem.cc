// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/problem.h"

#include <array>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "portal/internal/json_writer.h"

namespace sluice::portal {
namespace {

using enum ProblemCode;
constexpr std::array kTable = std::to_array<ProblemRow>({
    {kBadRequest, "bad_request", 400, "The request is not understood"},
    {kMalformedJson, "malformed_json", 400, "The body is not the JSON that is expected"},
    {kIdempotencyKeyRequired, "idempotency_key_required", 400, "Idempotency-Key is missing"},
    {kUnauthenticated, "unauthenticated", 401, "Sign in first"},
    {kWrongCredentials, "wrong_credentials", 401, "Name or password is wrong"},
    {kForbidden, "forbidden", 403, "You may not do this"},
    {kCsrf, "csrf", 403, "The request lacks this session's token"},
    {kForeignOrigin, "foreign_origin", 403, "The request comes from another site"},
    {kPasswordChangeRequired, "password_change_required", 403, "Choose a new password first"},
    {kQuotaExceeded, "quota_exceeded", 403, "More than your quota"},
    {kNotFound, "not_found", 404, "Not found"},
    {kMethodNotAllowed, "method_not_allowed", 405, "This cannot be done here"},
    {kStateConflict, "state_conflict", 409, "Not possible in this state"},
    {kShareInUse, "share_in_use", 409, "Its programs use more than that"},
    {kAlreadyExists, "already_exists", 409, "It exists already"},
    {kStaleVersion, "stale_version", 412, "Somebody changed it in between"},
    {kTooLarge, "too_large", 413, "The body is too large"},
    {kUnsupportedMediaType, "unsupported_media_type", 415, "Send application/json"},
    {kInvalidField, "invalid_field", 422, "A field is not right"},
    {kOverShareLimit, "over_share_limit", 422, "No card can give that share"},
    {kNoSuchGpu, "no_such_gpu", 422, "There is no such GPU"},
    {kUnknownTemplate, "unknown_template", 422, "There is no such template"},
    {kTemplateUnavailable, "template_unavailable", 422, "The template lacks a program"},
    {kIdempotencyMismatch, "idempotency_mismatch", 422, "The key was used for another request"},
    {kPreconditionRequired, "precondition_required", 428, "If-Match is missing"},
    {kRateLimited, "rate_limited", 429, "Too many requests"},
    {kLockedOut, "locked_out", 429, "Too many failed sign-ins"},
    {kInternal, "internal", 500, "Something broke on our side"},
    {kUnavailable, "unavailable", 503, "Not available now"},
});

struct CodeRow {
  Code from;
  ProblemCode to;
};
constexpr std::array kFromCode = std::to_array<CodeRow>({
    {Code::kCancelled, kUnavailable},
    {Code::kUnknown, kInternal},
    {Code::kInvalidArgument, kInvalidField},
    {Code::kDeadlineExceeded, kUnavailable},
    {Code::kNotFound, kNotFound},
    {Code::kAlreadyExists, kAlreadyExists},
    {Code::kPermissionDenied, kForbidden},
    {Code::kResourceExhausted, kUnavailable},
    {Code::kFailedPrecondition, kStateConflict},
    {Code::kAborted, kStaleVersion},
    {Code::kOutOfRange, kBadRequest},
    {Code::kUnimplemented, kUnavailable},
    {Code::kInternal, kInternal},
    {Code::kUnavailable, kUnavailable},
    {Code::kDataLoss, kInternal},
    {Code::kUnauthenticated, kUnauthenticated},
});

void WriteLists(JsonWriter& json, const Problem& problem) {
  if (!problem.errors.empty()) {
    json.Key("errors").BeginArray();
    for (const FieldError& error : problem.errors) {
      json.BeginObject()
          .Field("pointer", error.pointer)
          .Field("code", error.code)
          .Field("detail", error.detail)
          .EndObject();
    }
    json.EndArray();
  }
  if (!problem.alternatives.empty()) {
    json.Key("alternatives").BeginArray();
    for (const Alternative& other : problem.alternatives) {
      json.BeginObject()
          .Field("gpu_model", other.gpu_model)
          .Field("memory_bytes", other.memory.value())
          .Field("answer", other.answer)
          .EndObject();
    }
    json.EndArray();
  }
}

}  // namespace

std::span<const ProblemRow> ProblemTable() {
  return kTable;
}

const ProblemRow& RowOf(ProblemCode code) {
  const auto index = static_cast<size_t>(code);
  SLUICE_CHECK(index < kTable.size() && kTable.at(index).code == code);
  return kTable.at(index);
}

tl::unexpected<Problem> No(ProblemCode code, std::string detail) {
  return tl::unexpected<Problem>(Problem{.code = code, .detail = std::move(detail)});
}

tl::unexpected<Problem> No(Problem problem) {
  return tl::unexpected<Problem>(std::move(problem));
}

tl::unexpected<Problem> NoField(ProblemCode code, std::string pointer, std::string detail) {
  Problem problem{.code = code, .detail = detail};
  problem.errors.push_back({std::move(pointer), std::string(RowOf(code).name), std::move(detail)});
  return tl::unexpected<Problem>(std::move(problem));
}

Problem FromError(const Error& error) {
  Problem problem{.code = kInternal};
  for (const CodeRow& row : kFromCode) {
    if (row.from == error.code) problem.code = row.to;
  }
  if (problem.code == kInternal) {
    LogLine(LogLevel::kError, "portal: " + ToString(error));
    problem.detail = "The log of this Sluice says more; look for the request id.";
    return problem;
  }
  problem.detail = error.message;
  if (!error.field.empty()) {
    problem.errors.push_back({error.field, std::string(RowOf(problem.code).name), error.message});
  }
  return problem;
}

tl::unexpected<Problem> No(const Error& error) {
  return tl::unexpected<Problem>(FromError(error));
}

net::Response Render(const Problem& problem,
                     std::string_view instance,
                     std::string_view request_id) {
  const ProblemRow& row = RowOf(problem.code);
  JsonWriter json;
  json.BeginObject()
      .Field("type", "https://sluice.dev/problems/" + std::string(row.name))
      .Field("title", row.title)
      .Field("status", row.status)
      .Field("detail", problem.detail)
      .Field("instance", instance)
      .Field("code", row.name)
      .Field("request_id", request_id);
  WriteLists(json, problem);
  if (!problem.summary.empty()) json.Field("summary", problem.summary);
  net::Response response;
  response.status = row.status;
  if (problem.retry_after_s > 0) {
    json.Field("retry_after_s", problem.retry_after_s);
    response.headers.Set("Retry-After", std::to_string(problem.retry_after_s));
  }
  json.EndObject();
  response.headers.Set("Content-Type", "application/problem+json");
  response.body = json.Take();
  return response;
}

}  // namespace sluice::portal
