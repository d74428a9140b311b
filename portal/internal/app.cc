// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/app.h"

#include <fmt/format.h>
#include <utility>

namespace sluice::portal {

App::App(const Parts& parts, const Options& the_options)
    : store(parts.store),
      control(parts.control),
      agent(parts.agent),
      audit(parts.audit),
      clock(parts.clock),
      random(parts.random),
      plan(parts.plan),
      options(the_options),
      password_cost{options.password_passes, options.password_memory_bytes},
      no_ones_hash(HashPassword(RandomText(random, 32), password_cost).value_or("")),
      objects(store),
      sessions(store, clock, random),
      replays(store, clock, random),
      usage(agent, clock, options.usage_every),
      viewers(control) {}

Result<uint64_t> App::Commit(const Call& call,
                             std::vector<store::Write> writes,
                             control::AuditNote note,
                             std::string on_behalf_of) {
  const auto revision =
      audit.Commit(std::move(writes), {call.Actor(), std::move(note), std::move(on_behalf_of)});
  if (revision) control.Nudge();
  return revision;
}

net::Response JsonResponse(int status, std::string body, uint64_t version) {
  net::Response response;
  response.status = status;
  response.headers.Set("Content-Type", "application/json");
  if (version != 0) response.headers.Set("ETag", fmt::format("\"{}\"", version));
  response.body = std::move(body);
  return response;
}

}  // namespace sluice::portal
