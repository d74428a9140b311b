// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "model/user.h"
#include "portal/audit.h"
#include "portal/internal/lockout.h"
#include "portal/internal/objects.h"
#include "portal/internal/problem.h"
#include "portal/internal/rate_limit.h"
#include "portal/internal/replays.h"
#include "portal/internal/secrets.h"
#include "portal/internal/sessions.h"
#include "portal/internal/tickets.h"
#include "portal/internal/usage.h"
#include "portal/internal/viewers.h"
#include "portal/portal.h"

namespace sluice::portal {

struct Route;

// Who sends a request, as established before a handler sees it.
struct Caller {
  enum class Kind { kNobody, kSession, kToken, kLocal };

  Kind kind = Kind::kNobody;
  User user;
  uint64_t user_version = 0;
  std::string session;              // Id of the session or token.
  std::string csrf_token;           // kSession.
  TimePoint session_ends;           // kSession, kToken.
  std::vector<std::string> scopes;  // kToken.

  bool Is(Role least) const { return kind != Kind::kNobody && user.role >= least; }
  bool SeesAll() const { return Is(Role::kOperator); }
};

// One request on its way through a handler.
struct Call {
  const net::Request& request;
  const Route& route;
  Caller caller;
  std::string request_id;
  std::string id;                     // The {id} of the path, or empty.
  const ReplayKey* replay = nullptr;  // Set when the request has an Idempotency-Key.

  control::Actor Actor() const { return {caller.user.name, request.remote, request_id}; }
};

// What the open screens are told; the relay behind it is made once the server is there. Calls do
// not block.
class StreamControl {
 public:
  virtual ~StreamControl() = default;
  virtual void Tell(const DesktopId& desktop, const std::string& text, const std::string& by) = 0;
  virtual void TellStopping(const DesktopId& desktop, TimePoint at, const std::string& why) = 0;
  virtual void Stopped(const DesktopId& desktop, const std::string& why) = 0;
  virtual void EndSession(const std::string& session) = 0;
  virtual void EndUser(const UserId& user) = 0;
};

// Everything that handlers work with. Thread-safe, as each member is.
struct App {
  App(const Parts& parts, const Options& the_options);

  store::Store& store;
  control::Control& control;
  agent::Agent& agent;
  AuditLog& audit;
  const Clock& clock;
  Random& random;
  const std::function<Result<std::string>(const PlanQuestion&)> plan;
  const Options options;
  const PasswordCost password_cost;
  // Verified when a name does not exist, so that the answer takes as long.
  const std::string no_ones_hash;

  Objects objects;
  Sessions sessions;
  Replays replays;
  Tickets tickets;
  Lockout lockout;
  RateLimit rates;
  Usage usage;
  Viewers viewers;
  // Held while a quota is checked and what it allows is written.
  std::mutex quota_gate;
  // Held while the planner works.
  std::mutex plan_gate;
  // nullptr while no streams are served (tests of handlers).
  StreamControl* streams = nullptr;

  // A quick "one more change, please": commits writes with their audit row and wakes control.
  Result<uint64_t> Commit(const Call& call,
                          std::vector<store::Write> writes,
                          control::AuditNote note,
                          std::string on_behalf_of = "");
};

using HandlerFunction = Answer (*)(App&, const Call&);

// JSON with its length and type; `version` 0 means no ETag.
net::Response JsonResponse(int status, std::string body, uint64_t version = 0);

}  // namespace sluice::portal
