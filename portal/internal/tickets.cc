// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/tickets.h"

#include <utility>

#include "portal/internal/secrets.h"

namespace sluice::portal {
namespace {

constexpr size_t kTicketsMax = 10'000;
constexpr size_t kTicketBytes = 32;

}  // namespace

std::optional<std::string> Tickets::Issue(Grant grant, Random& random, Duration now) {
  std::string ticket = RandomText(random, kTicketBytes);
  const bool kept = tickets_.With([&](auto& tickets) {
    std::erase_if(tickets, [now](const auto& entry) { return entry.second.expires <= now; });
    if (tickets.size() >= kTicketsMax) return false;
    tickets[Sha256Hex(ticket)] = Entry{std::move(grant), now + kTicketLife};
    return true;
  });
  if (!kept) return std::nullopt;
  return ticket;
}

std::optional<Grant> Tickets::Redeem(std::string_view ticket, Duration now) {
  return tickets_.With([&](auto& tickets) -> std::optional<Grant> {
    const auto found = tickets.find(Sha256Hex(ticket));
    if (found == tickets.end()) return std::nullopt;
    Entry entry = std::move(found->second);
    tickets.erase(found);
    if (entry.expires <= now) return std::nullopt;
    return std::move(entry.grant);
  });
}

void Tickets::Revoke(std::string_view session) {
  if (session.empty()) return;
  tickets_.With([&](auto& tickets) {
    std::erase_if(tickets,
                  [session](const auto& entry) { return entry.second.grant.session == session; });
  });
}

}  // namespace sluice::portal
