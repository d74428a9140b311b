// SPDX-License-Identifier: Apache-2.0
#include "net/internal/tls.h"

#include <array>
#include <fmt/core.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string_view>
#include <utility>

namespace sluice::net::internal {
namespace {

std::string LastOpenSslError() {
  std::array<char, 256> text{};
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown error";
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

// Picks "http/1.1" from the client's list; without it the handshake goes on with no protocol named.
// NOLINTNEXTLINE(readability-function-size): OpenSSL fixes the parameters.
int SelectProtocol(SSL*,
                   const unsigned char** out,
                   unsigned char* out_length,
                   const unsigned char* in,
                   unsigned int in_length,
                   void*) {
  static constexpr unsigned char kOffer[] = "\x08http/1.1";
  unsigned char* selected = nullptr;
  if (SSL_select_next_proto(&selected, out_length, kOffer, sizeof kOffer - 1, in, in_length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

Result<std::shared_ptr<boost::asio::ssl::context>> NewServerContext(const TlsFiles& files) {
  auto context = std::make_shared<boost::asio::ssl::context>(boost::asio::ssl::context::tls_server);
  SSL_CTX* raw = context->native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(
      raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(raw, SelectProtocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(raw, files.certificate_pem.c_str()) != 1) {
    return Fail(
        Code::kFailedPrecondition,
        fmt::format(
            "cannot read the certificate {}: {}", files.certificate_pem, LastOpenSslError()));
  }
  if (SSL_CTX_use_PrivateKey_file(raw, files.key_pem.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(raw) != 1) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("cannot use the key {} with the certificate {}: {}",
                            files.key_pem,
                            files.certificate_pem,
                            LastOpenSslError()));
  }
  return context;
}

}  // namespace sluice::net::internal
