// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/testing/one_desktop.h"

#include "base/check.h"

namespace sluice::stream::testing {

OneDesktop::OneDesktop(const std::string& display_path) {
  net::Listen listen;
  listen.address = "127.0.0.1";
  auto server =
      net::Server::Create({listen}, {}, [this](const net::Request& request, const auto& responder) {
        relay_->Accept(request, responder);
      });
  SLUICE_CHECK(server.has_value());
  server_ = *std::move(server);
  Hooks hooks;
  hooks.redeem = [](std::string_view ticket) -> Result<TicketGrant> {
    TicketGrant grant;
    grant.user = UserId("usr_1");
    grant.user_name = "ada";
    grant.session = "session";
    grant.desktop = DesktopId("dsk_1");
    grant.mode = ticket.substr(0, 4) == "view" ? Mode::kView : Mode::kControl;
    return grant;
  };
  hooks.display = [display_path](const DesktopId&) -> Result<std::string> { return display_path; };
  hooks.still_good = [](const TicketGrant&) { return true; };
  hooks.report = [](const ViewerReport&) {};
  relay_ = Relay::Create(*server_, clock_, std::move(hooks));
}

OneDesktop::~OneDesktop() {
  server_.reset();
}

net::Endpoint OneDesktop::endpoint() const {
  return {"http://127.0.0.1:" + std::to_string(server_->Ports()[0]), "", ""};
}

}  // namespace sluice::stream::testing
