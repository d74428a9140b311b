// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/client.h"

namespace sluice::net::internal {

using Deadline = std::chrono::steady_clock::time_point;

// A blocking connection with deadlines: TCP, TLS or a unix socket. One thread at a time.
class ClientStream {
 public:
  // Fails with kInvalidArgument (the URL) or kUnavailable (nobody there, or not who was expected).
  static Result<std::unique_ptr<ClientStream>> Connect(const Endpoint& endpoint, Deadline deadline);
  virtual ~ClientStream() = default;

  // 0 bytes: the peer ended. Fails with kDeadlineExceeded or kUnavailable.
  virtual Result<size_t> Read(std::span<char> into, Deadline deadline) = 0;
  virtual Result<void> Write(std::string_view bytes, Deadline deadline) = 0;
  // What a Host field says: "localhost:8443".
  virtual const std::string& host() const = 0;
};

}  // namespace sluice::net::internal
