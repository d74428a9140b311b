// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

// One connected socket, plain or under TLS, without templates outwards: what is instantiated from
// Asio is instantiated in transport.cc and nowhere else.
namespace sluice::net::internal {

using Socket = boost::asio::generic::stream_protocol::socket;

// Used on the I/O thread of its socket only. At most one read and one write are under way.
class Transport {
 public:
  using Done = std::function<void(boost::system::error_code, size_t)>;

  virtual ~Transport() = default;
  virtual void Handshake(Done done) = 0;
  virtual void ReadSome(std::span<char> into, Done done) = 0;
  // Tries to write right away, so that a small last message leaves before a Close() that follows.
  virtual void WriteSome(std::span<const std::string_view> pieces, Done done) = 0;
  // No more bytes will be sent; the peer's can still be read.
  virtual void ShutdownSend() = 0;
  // Cancels everything under way.
  virtual void Close() = 0;
};

std::unique_ptr<Transport> NewPlainTransport(Socket socket);
// `context` must outlive the transport; the server keeps it until its threads are joined.
std::unique_ptr<Transport> NewTlsTransport(Socket socket,
                                           std::shared_ptr<boost::asio::ssl::context> context);

}  // namespace sluice::net::internal
