// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "base/result.h"
#include "net/server.h"

namespace sluice::net::internal {

// TLS 1.2 and 1.3 with the named certificate. Fails with kFailedPrecondition.
Result<std::shared_ptr<boost::asio::ssl::context>> NewServerContext(const TlsFiles& files);

}  // namespace sluice::net::internal
