// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "net/client.h"
#include "net/server.h"
#include "portal/stream/relay.h"

namespace sluice::stream::testing {

// For tests and benchmarks: a server with a relay for one display. Every ticket is good; one that
// starts with "view" only looks.
class OneDesktop {
 public:
  explicit OneDesktop(const std::string& display_path);
  ~OneDesktop();
  OneDesktop(const OneDesktop&) = delete;
  OneDesktop& operator=(const OneDesktop&) = delete;

  net::Endpoint endpoint() const;
  Relay& relay() { return *relay_; }

 private:
  SystemClock clock_;
  std::unique_ptr<net::Server> server_;
  std::unique_ptr<Relay> relay_;
};

}  // namespace sluice::stream::testing
