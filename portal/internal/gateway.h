// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "portal/internal/app.h"
#include "portal/internal/routes.h"

namespace sluice::portal {

// A request that passed every check before its handler.
struct Admitted {
  const Route* route = nullptr;
  Caller caller;
  std::string id;  // The {id} of the path.
  std::string request_id;
};

// The checks that are the same for every route: path and method, who calls, role and scope, CSRF
// and origin, media type, rates, query names, If-Match and Idempotency-Key. Thread-safe.
class Gateway {
 public:
  explicit Gateway(App& app) : app_(app) {}

  // The finished answer, if the request is not let through.
  tl::expected<Admitted, net::Response> Admit(const net::Request& request);

  // The handler's answer with the header fields that every answer has.
  net::Response Run(const Admitted& admitted, const net::Request& request);

  // A problem as a finished answer, for what is refused behind the handlers.
  net::Response Refuse(const Admitted& admitted, const net::Request& request, const Problem& why);

  // Admit and Run in one, in this thread: for routes that answer at once, and for tests.
  net::Response Serve(const net::Request& request);

  // Whose credentials the request carries; kNobody when it has none or wrong ones.
  Caller Authenticate(const net::Request& request);

 private:
  Caller FromToken(std::string_view bearer);
  Caller FromCookie(std::string_view cookie);
  Caller LocalAdmin();
  OrProblem<void> Check(const Admitted& admitted, const net::Request& request);
  OrProblem<void> CheckMeter(const Admitted& admitted, const net::Request& request);
  Answer Handle(const Call& call);
  net::Response Finish(net::Response response, const net::Request& request, std::string_view id);

  App& app_;
};

// Header fields that every answer has, whatever made it.
void AddSecurityHeaders(net::Headers& headers, const net::Request& request);

// Whether Origin and Sec-Fetch-Site, as far as sent, say that our own page is the sender.
bool FromOwnOrigin(const net::Request& request);

}  // namespace sluice::portal
