// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/random.h"
#include "base/result.h"
#include "control/control.h"
#include "net/http.h"
#include "net/server.h"
#include "portal/audit.h"
#include "store/store.h"

// What people and programs talk to: the API /v1, sign-in, events, metrics and the web client. It
// turns requests into wishes (rows of the store) and shows what became of them.
namespace sluice::portal {

// What the planner is asked; see sim/plan.h.
struct PlanQuestion {
  std::string fleet;             // "4x24GiB,2x80GiB"; empty: today's.
  Bytes share;                   // 0: as it was.
  std::optional<Duration> idle;  // 0: never.
  std::string policy;            // Empty: today's.
  int overcommit_pct = 0;        // Of compute; 0: today's.
  std::string preempt;           // Who gives way, as of a pool; empty: as today.
  double price = 0;              // Of a card for an hour; 0: not known.
  int growth_pct = 100;
  bool synthetic = false;
};

// What the portal works with. All must outlive it; `random` must be thread-safe.
struct Parts {
  store::Store& store;
  control::Control& control;
  agent::Agent& agent;
  AuditLog& audit;
  const Clock& clock;
  Random& random;
  // Where a desktop's display is served: the path of a unix socket that speaks RFB. Fails with
  // kFailedPrecondition before the display is up. Called on any thread.
  std::function<Result<std::string>(const DesktopId&)> display;
  // The planner's answer as JSON, schema Plan. Takes seconds; called by one thread at a time. Fails
  // with kInvalidArgument or kResourceExhausted. May be empty: there is no planner.
  std::function<Result<std::string>(const PlanQuestion&)> plan;
};

// Requests per minute and how many at once; 0 per minute is no limit. Lower protects better
// against floods and guessing, and annoys people who are in a hurry.
struct RateLimits {
  int sign_ins_per_minute = 20;  // Per source.
  int sign_ins_burst = 10;
  int creates_per_minute = 60;  // Per user: desktops, users, tokens.
  int creates_burst = 30;
  int tickets_per_minute = 60;  // Per user.
  int tickets_burst = 30;
  int streams_per_minute = 60;  // Per user: openings of /v1/events.
  int streams_burst = 30;
};

struct Options {
  std::string web_root;    // Folder of the web client; empty: none is served.
  std::string version;     // As people see it: "0.1.0".
  uint32_t owner_uid = 0;  // Besides root, who is the administrator over the local socket.
  RateLimits limits;
  size_t event_streams_per_user = 16;
  size_t event_streams_max = 2'000;
  // argon2id; see PasswordCost in internal/secrets.h. Tests lower it.
  uint64_t password_passes = 3;
  size_t password_memory_bytes = 32 << 20;
  Duration usage_every{1'000};       // How often shares and cards are sampled for viewers.
  Duration heartbeat_every{15'000};  // Of event streams.
};

// Thread-safe.
class Portal {
 public:
  static std::unique_ptr<Portal> Create(const Parts& parts, const Options& options);
  virtual ~Portal() = default;  // Ends its threads. Destroy the server first.

  // For net::Server::Create. Answers "unavailable" until Start().
  virtual net::Handler handler() = 0;

  // Begins to serve. Requires: `server` was made with handler(); called once.
  virtual void Start(net::Server& server) = 0;
};

// The account that the local socket's administrator acts as. It has no password.
inline constexpr std::string_view kLocalAdminName = "local-admin";

struct FirstAdmin {
  std::string name;
  std::string one_time_password;
};

// Makes what a new store needs: the local socket's account and, if there is no other user, the
// user "admin" with a password to be changed at the first sign-in, returned this one time. Safe to
// repeat at each start. Fails as the store does.
Result<std::optional<FirstAdmin>> EnsureFirstAdmin(store::Store& store,
                                                   AuditLog& audit,
                                                   const Clock& clock,
                                                   Random& random,
                                                   const Options& options);

}  // namespace sluice::portal
