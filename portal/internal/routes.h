// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "portal/internal/app.h"

namespace sluice::portal {

enum class Access { kAnonymous, kUser, kOperator, kAdmin };
enum class Idempotency { kNone, kOptional, kRequired };
// What a route's answer is made by. kStream and kEvents answer over their connection for a long
// time; kPlain by the handler, on an I/O thread; kBlocking by the handler, on the blocking pool:
// whatever writes to the store, hashes passwords or reads everything.
enum class Serving { kPlain, kBlocking, kEvents, kWebSocket, kRunWait };
enum class Meter { kNone, kSignIn, kCreate, kTicket, kEvents };

// One row of the API. A test compares all of them with openapi.yaml.
struct Route {
  std::string_view method;
  std::string_view path;       // "/v1/desktops/{id}".
  std::string_view operation;  // operationId.
  Access access = Access::kUser;
  std::string_view scope;    // What a token must carry; empty: tokens may not call.
  std::string_view queries;  // Known query parameters, separated by spaces.
  bool takes_body = false;
  Idempotency idempotency = Idempotency::kNone;
  bool needs_if_match = false;
  Serving serving = Serving::kPlain;
  Meter meter = Meter::kNone;
  HandlerFunction handler = nullptr;

  bool unsafe() const { return method != "GET"; }
};

std::span<const Route> Routes();

struct Match {
  const Route* route = nullptr;  // Null: no such path, or not with this method.
  std::string id;                // The {id} of the path.
  std::string allowed;           // Methods that the path has, "GET, PATCH"; empty: no such path.
};
Match FindRoute(std::string_view method, std::string_view path);

// Whether a path belongs to the API (an unknown one answers a problem, not the web client).
bool IsApiPath(std::string_view path);

}  // namespace sluice::portal
