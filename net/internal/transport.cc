// SPDX-License-Identifier: Apache-2.0
#include "net/internal/transport.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <utility>

namespace sluice::net::internal {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr size_t kPiecesMax = 16;

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(Socket socket) : socket_(std::move(socket)) {}

  void Handshake(Done done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done(error_code(), 0); });
  }

  void ReadSome(std::span<char> into, Done done) override {
    socket_.async_read_some(asio::buffer(into.data(), into.size()), std::move(done));
  }

  void WriteSome(std::span<const std::string_view> pieces, Done done) override {
    std::array<asio::const_buffer, kPiecesMax> buffers;
    for (size_t i = 0; i < pieces.size() && i < kPiecesMax; ++i) {
      buffers[i] = asio::const_buffer(pieces[i].data(), pieces[i].size());
    }
    socket_.async_write_some(buffers, std::move(done));
  }

  void ShutdownSend() override {
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

  void Close() override {
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  Socket socket_;
};

class TlsTransport final : public Transport {
 public:
  using Stream = asio::ssl::stream<Socket>;

  TlsTransport(Socket socket, std::shared_ptr<asio::ssl::context> context)
      : context_(std::move(context)),
        stream_(std::make_shared<Stream>(std::move(socket), *context_)) {}

  void Handshake(Done done) override {
    stream_->async_handshake(asio::ssl::stream_base::server,
                             [done = std::move(done)](error_code error) { done(error, 0); });
  }

  void ReadSome(std::span<char> into, Done done) override {
    stream_->async_read_some(asio::buffer(into.data(), into.size()), std::move(done));
  }

  void WriteSome(std::span<const std::string_view> pieces, Done done) override {
    // One TLS record per call whatever is handed in, so only the first piece is offered.
    stream_->async_write_some(asio::buffer(pieces[0].data(), pieces[0].size()), std::move(done));
  }

  void ShutdownSend() override {
    // Sends close_notify; whether the peer answers does not matter. Nobody else waits for this
    // operation, so it keeps what it works on alive itself.
    stream_->async_shutdown([stream = stream_](error_code) {});
  }

  void Close() override {
    error_code ignored;
    stream_->next_layer().close(ignored);
  }

 private:
  std::shared_ptr<asio::ssl::context> context_;
  const std::shared_ptr<Stream> stream_;
};

}  // namespace

std::unique_ptr<Transport> NewPlainTransport(Socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

std::unique_ptr<Transport> NewTlsTransport(Socket socket,
                                           std::shared_ptr<asio::ssl::context> context) {
  return std::make_unique<TlsTransport>(std::move(socket), std::move(context));
}

}  // namespace sluice::net::internal
