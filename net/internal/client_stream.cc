// SPDX-License-Identifier: Apache-2.0
#include "net/internal/client_stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/core.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace sluice::net::internal {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

struct Address {
  bool tls = false;
  std::string unix_path;
  std::string host;
  std::string port;
  std::string host_field;
};

Result<Address> ParseUrl(std::string_view url) {
  const auto starts = [&](std::string_view prefix) {
    return url.substr(0, prefix.size()) == prefix;
  };
  Address address;
  if (starts("unix:")) {
    address.unix_path = url.substr(5);
    address.host_field = "localhost";
    return address;
  }
  address.tls = starts("https://");
  if (!address.tls && !starts("http://")) {
    return Fail(
        Code::kInvalidArgument,
        fmt::format("\"{}\" is no address: it starts with http://, https:// or unix:", url));
  }
  std::string_view rest = url.substr(address.tls ? 8 : 7);
  rest = rest.substr(0, rest.find('/'));
  address.host_field = rest;
  size_t colon = rest.rfind(':');
  if (!rest.empty() && rest.front() == '[') {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) {
      return Fail(Code::kInvalidArgument, fmt::format("\"{}\" has no closing bracket", url));
    }
    address.host = rest.substr(1, end - 1);
    colon = rest.find(':', end);
  } else {
    address.host = rest.substr(0, colon);
  }
  address.port = colon == std::string_view::npos ? (address.tls ? "443" : "80")
                                                 : std::string(rest.substr(colon + 1));
  if (address.host.empty() || address.port.empty()) {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\" names no host and port", url));
  }
  return address;
}

tl::unexpected<Error> Unreachable(const std::string& where, int error) {
  return Fail(
      Code::kUnavailable,
      fmt::format(
          "cannot reach {}: {}. Is \"sluice up\" running there?", where, std::strerror(error)));
}

tl::unexpected<Error> Late() {
  return Fail(Code::kDeadlineExceeded, "no answer in time");
}

// Waits for `events`; false when the deadline passed.
bool WaitFor(int fd, int16_t events, Deadline deadline) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                          deadline - std::chrono::steady_clock::now())
                          .count();
    pollfd one{fd, events, 0};
    const int ready =
        poll(&one, 1, static_cast<int>(std::clamp<int64_t>(left + (left > 0), 0, 86'400'000)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

Result<Fd> ConnectTo(int family, const sockaddr* address, socklen_t length, Deadline deadline) {
  Fd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return Fail(Code::kUnavailable, std::strerror(errno));
  if (connect(fd.get(), address, length) != 0) {
    if (errno != EINPROGRESS && errno != EAGAIN) {
      return Fail(Code::kUnavailable, std::strerror(errno));
    }
    if (!WaitFor(fd.get(), POLLOUT, deadline)) return Late();
    int error = 0;
    socklen_t error_length = sizeof error;
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &error_length);
    if (error != 0) return Fail(Code::kUnavailable, std::strerror(error));
  }
  return Result<Fd>(std::move(fd));
}

Result<Fd> Dial(const Address& address, Deadline deadline) {
  if (!address.unix_path.empty()) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (address.unix_path.size() >= sizeof name.sun_path) {
      return Unreachable(address.unix_path, ENAMETOOLONG);
    }
    std::memcpy(name.sun_path, address.unix_path.c_str(), address.unix_path.size() + 1);
    auto fd = ConnectTo(AF_UNIX, reinterpret_cast<sockaddr*>(&name), sizeof name, deadline);
    if (!fd && fd.error().code == Code::kUnavailable) {
      return Unreachable(address.unix_path, errno);
    }
    return fd;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found) != 0) {
    return Fail(Code::kUnavailable, fmt::format("the host {} is not known", address.host));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> release(found, freeaddrinfo);
  int last_error = EHOSTUNREACH;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    auto fd = ConnectTo(one->ai_family, one->ai_addr, one->ai_addrlen, deadline);
    if (fd) {
      const int on = 1;
      setsockopt(fd->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return fd;
    }
    if (fd.error().code == Code::kDeadlineExceeded) return fd;
    last_error = errno;
  }
  return Unreachable(address.host_field, last_error);
}

class PlainStream final : public ClientStream {
 public:
  PlainStream(Fd fd, std::string host) : fd_(std::move(fd)), host_(std::move(host)) {}

  Result<size_t> Read(std::span<char> into, Deadline deadline) override {
    while (true) {
      const ssize_t count = recv(fd_.get(), into.data(), into.size(), 0);
      if (count >= 0) return static_cast<size_t>(count);
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Fail(Code::kUnavailable, std::strerror(errno));
      if (!WaitFor(fd_.get(), POLLIN, deadline)) return Late();
    }
  }

  Result<void> Write(std::string_view bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      const ssize_t count = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count >= 0) {
        bytes.remove_prefix(static_cast<size_t>(count));
      } else if (errno == EAGAIN) {
        if (!WaitFor(fd_.get(), POLLOUT, deadline)) return Late();
      } else if (errno != EINTR) {
        return Fail(Code::kUnavailable, std::strerror(errno));
      }
    }
    return {};
  }

  const std::string& host() const override { return host_; }

 private:
  Fd fd_;
  std::string host_;
};

struct FreeTls {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* tls) const { SSL_free(tls); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeTls>;

std::string NormalFingerprint(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ':' && c != ' ') out.push_back(c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c);
  }
  return out;
}

class TlsStream final : public ClientStream {
 public:
  TlsStream(Fd fd, std::string host, TlsContext context)
      : fd_(std::move(fd)),
        host_(std::move(host)),
        context_(std::move(context)),
        tls_(SSL_new(context_.get())) {
    SSL_set_fd(tls_.get(), fd_.get());
    SSL_set_mode(tls_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }

  Result<void> Handshake(const Endpoint& endpoint, const std::string& name, Deadline deadline) {
    // The macro for this casts in the old style.
    SSL_ctrl(tls_.get(),
             SSL_CTRL_SET_TLSEXT_HOSTNAME,
             TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(name.c_str()));
    if (endpoint.fingerprint_sha256.empty()) {
      SSL_set_verify(tls_.get(), SSL_VERIFY_PEER, nullptr);
      X509_VERIFY_PARAM* expected = SSL_get0_param(tls_.get());
      if (X509_VERIFY_PARAM_set1_ip_asc(expected, name.c_str()) != 1) {
        X509_VERIFY_PARAM_set1_host(expected, name.c_str(), name.size());
      }
    }
    while (true) {
      ERR_clear_error();
      const int result = SSL_connect(tls_.get());
      if (result == 1) break;
      if (auto waited = Wait(result, deadline); !waited) return DescribeFailure(waited.error());
    }
    return endpoint.fingerprint_sha256.empty() ? Result<void>()
                                               : CheckFingerprint(endpoint.fingerprint_sha256);
  }

  Result<size_t> Read(std::span<char> into, Deadline deadline) override {
    while (true) {
      ERR_clear_error();
      size_t count = 0;
      const int result = SSL_read_ex(tls_.get(), into.data(), into.size(), &count);
      if (result == 1) return count;
      const int error = SSL_get_error(tls_.get(), result);
      // A peer that just closes is told from one that says so by HTTP's own framing.
      if (error == SSL_ERROR_ZERO_RETURN || error == SSL_ERROR_SYSCALL) return size_t{0};
      if (auto waited = Wait(result, deadline); !waited) return Fail(waited.error());
    }
  }

  Result<void> Write(std::string_view bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      ERR_clear_error();
      size_t count = 0;
      const int result = SSL_write_ex(tls_.get(), bytes.data(), bytes.size(), &count);
      if (result == 1) {
        bytes.remove_prefix(count);
      } else if (auto waited = Wait(result, deadline); !waited) {
        return Fail(waited.error());
      }
    }
    return {};
  }

  const std::string& host() const override { return host_; }

 private:
  Result<void> Wait(int result, Deadline deadline) {
    const int error = SSL_get_error(tls_.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
      const int16_t events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
      if (!WaitFor(fd_.get(), events, deadline)) return Late();
      return {};
    }
    return Fail(Code::kUnavailable, "the TLS connection broke");
  }

  Result<void> DescribeFailure(const Error& error) const {
    const long verified = SSL_get_verify_result(tls_.get());
    if (error.code != Code::kUnavailable || verified == X509_V_OK) return Fail(error);
    return Fail(Code::kUnavailable,
                fmt::format("the certificate of {} is not trusted: {}. Name its fingerprint or "
                            "certificate file if it is the one you expect",
                            host_,
                            X509_verify_cert_error_string(verified)));
  }

  Result<void> CheckFingerprint(const std::string& wanted) const {
    const std::unique_ptr<X509, FreeTls> certificate(SSL_get1_peer_certificate(tls_.get()));
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    if (certificate) X509_digest(certificate.get(), EVP_sha256(), digest.data(), &length);
    std::string found;
    for (unsigned int i = 0; i < length; ++i) found += fmt::format("{:02X}", digest[i]);
    if (found.empty() || found != NormalFingerprint(wanted)) {
      return Fail(Code::kUnavailable,
                  fmt::format("the certificate of {} has another fingerprint: {}", host_, found));
    }
    return {};
  }

  Fd fd_;
  std::string host_;
  TlsContext context_;
  std::unique_ptr<SSL, FreeTls> tls_;
};

Result<std::unique_ptr<ClientStream>> StartTls(const Endpoint& endpoint,
                                               const Address& address,
                                               Fd fd,
                                               Deadline deadline) {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  if (!context) return Fail(Code::kInternal, "OpenSSL gave no context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_default_verify_paths(context.get());
  if (!endpoint.ca_pem.empty() &&
      SSL_CTX_load_verify_locations(context.get(), endpoint.ca_pem.c_str(), nullptr) != 1) {
    return Fail(Code::kInvalidArgument,
                fmt::format("cannot read the certificate {}", endpoint.ca_pem));
  }
  auto stream = std::make_unique<TlsStream>(std::move(fd), address.host_field, std::move(context));
  auto shaken = stream->Handshake(endpoint, address.host, deadline);
  if (!shaken) return Fail(shaken.error());
  return std::unique_ptr<ClientStream>(std::move(stream));
}

}  // namespace

Result<std::unique_ptr<ClientStream>> ClientStream::Connect(const Endpoint& endpoint,
                                                            Deadline deadline) {
  // OpenSSL writes without MSG_NOSIGNAL.
  std::signal(SIGPIPE, SIG_IGN);
  auto address = ParseUrl(endpoint.url);
  if (!address) return Fail(address.error());
  auto fd = Dial(*address, deadline);
  if (!fd) return Fail(fd.error());
  if (address->tls) return StartTls(endpoint, *address, *std::move(fd), deadline);
  return std::unique_ptr<ClientStream>(
      std::make_unique<PlainStream>(*std::move(fd), address->host_field));
}

}  // namespace sluice::net::internal
