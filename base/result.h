// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace sluice {

// Why a call failed, from gRPC's list of canonical codes, so that each boundary (HTTP, CLI exit
// code, later gRPC) needs exactly one mapping table.
enum class Code {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// The code's name in lower_snake_case, e.g. "not_found". Never empty.
std::string_view ToString(Code code);

// One failure: a code and a sentence that names the object and, where there is one, the fix.
struct Error {
  Code code = Code::kUnknown;
  std::string message;

  // The field of the input that is wrong, as a JSON pointer ("/gpu/memory_mib"); empty if none.
  std::string field;

  friend bool operator==(const Error&, const Error&) = default;
};

// "not_found: desktop dsk_1 does not exist".
std::string ToString(const Error& error);

// A value or an Error. Exceptions never cross a folder border; this does.
template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

// For `return Fail(Code::kNotFound, "...")` from a function that returns Result<T>.
inline tl::unexpected<Error> Fail(Code code, std::string message, std::string field = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(field)});
}

inline tl::unexpected<Error> Fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace sluice
