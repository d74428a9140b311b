// SPDX-License-Identifier: Apache-2.0
#include "net/internal/listener.h"

#include <arpa/inet.h>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cerrno>
#include <cstring>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace sluice::net::internal {
namespace {

constexpr int kBacklog = 512;
// Accepted in one go before others on the thread have their turn.
constexpr int kAcceptBurst = 64;
constexpr std::chrono::milliseconds kRetry{100};

// sockaddr of an address as text; only numeric ones, and "localhost".
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  bool loopback = false;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Result<SocketAddress> ParseAddress(const Listen& listen) {
  const std::string text = listen.address == "localhost" ? "127.0.0.1" : listen.address;
  SocketAddress out;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(listen.port);
    out.loopback = (ntohl(v4.sin_addr.s_addr) >> 24) == 127;
    out.length = sizeof v4;
    std::memcpy(&out.storage, &v4, sizeof v4);
    return out;
  }
  if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(listen.port);
    out.loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    out.length = sizeof v6;
    std::memcpy(&out.storage, &v6, sizeof v6);
    return out;
  }
  return Fail(Code::kInvalidArgument,
              fmt::format("\"{}\" is not an IP address to listen on", listen.address));
}

uint16_t PortOf(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) {
    return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
}

std::string TextOf(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(storage).sin_addr, text, sizeof text);
    return text;
  }
  const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    inet_ntop(AF_INET, &address.s6_addr[12], text, sizeof text);
  } else {
    inet_ntop(AF_INET6, &address, text, sizeof text);
  }
  return text;
}

tl::unexpected<Error> BindFailure(int error, const std::string& where) {
  if (error == EADDRINUSE) {
    return Fail(Code::kAlreadyExists,
                fmt::format("{} is in use by another program; stop it or choose another", where));
  }
  if (error == EACCES || error == EPERM) {
    return Fail(Code::kPermissionDenied, fmt::format("not allowed to listen on {}", where));
  }
  if (error == EADDRNOTAVAIL) {
    return Fail(Code::kInvalidArgument, fmt::format("{} is not an address of this machine", where));
  }
  return Fail(Code::kUnavailable,
              fmt::format("cannot listen on {}: {}", where, std::strerror(error)));
}

Result<Bound> BindTcp(const Listen& listen) {
  auto address = ParseAddress(listen);
  if (!address) return Fail(address.error());
  const std::string where = address->storage.ss_family == AF_INET6
                                ? fmt::format("[{}]:{}", listen.address, listen.port)
                                : fmt::format("{}:{}", listen.address, listen.port);
  if (!address->loopback && !listen.tls) {
    return Fail(
        Code::kInvalidArgument,
        fmt::format("{} can be reached from other machines, so it needs a TLS certificate", where));
  }
  Bound bound;
  bound.fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (bound.fd < 0) return BindFailure(errno, where);
  const int on = 1;
  setsockopt(bound.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(bound.fd, address->get(), address->length) != 0 || ::listen(bound.fd, kBacklog) != 0) {
    const int error = errno;
    close(bound.fd);
    return BindFailure(error, where);
  }
  socklen_t length = sizeof address->storage;
  getsockname(bound.fd, address->get(), &length);
  bound.port = PortOf(address->storage);
  return bound;
}

Result<sockaddr_un> UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Fail(
        Code::kInvalidArgument,
        fmt::format(
            "the socket path {} is longer than {} bytes", path, sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// Whether somebody answers at a socket file that is already there.
bool Answers(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return true;
  const bool connected =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const bool alive = connected || errno == EAGAIN;
  close(fd);
  return alive;
}

Result<Bound> BindUnix(const std::string& path) {
  auto address = UnixAddress(path);
  if (!address) return Fail(address.error());
  struct stat status {};
  if (lstat(path.c_str(), &status) == 0) {
    // Only a dead socket is cleared away, never a file of another kind.
    if (!S_ISSOCK(status.st_mode) || Answers(*address)) return BindFailure(EADDRINUSE, path);
    unlink(path.c_str());
  }
  Bound bound;
  bound.unix_socket = true;
  bound.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (bound.fd < 0) return BindFailure(errno, path);
  // Linux gives the file the mode of the socket, so that there is no moment of a wider one.
  fchmod(bound.fd, 0600);
  const auto* raw = reinterpret_cast<const sockaddr*>(&*address);
  if (bind(bound.fd, raw, sizeof *address) != 0 || chmod(path.c_str(), 0600) != 0 ||
      listen(bound.fd, kBacklog) != 0) {
    const int error = errno;
    close(bound.fd);
    return BindFailure(error, path);
  }
  return bound;
}

}  // namespace

std::shared_ptr<void> Admission::Admit(const std::string& address) {
  const bool admitted = counts_.With([&](Counts& counts) {
    if (counts.all >= connections_max_) return false;
    if (!address.empty() && counts.by_address[address] >= per_address_max_) return false;
    ++counts.all;
    if (!address.empty()) ++counts.by_address[address];
    return true;
  });
  if (!admitted) return nullptr;
  return {this, [self = shared_from_this(), address](void*) {
            self->counts_.With([&](Counts& counts) {
              --counts.all;
              if (!address.empty() && --counts.by_address[address] == 0) {
                counts.by_address.erase(address);
              }
            });
          }};
}

Result<Bound> Bind(const Listen& listen) {
  return listen.unix_path.empty() ? BindTcp(listen) : BindUnix(listen.unix_path);
}

Listener::Listener(std::shared_ptr<IoThread> io,
                   const Bound& bound,
                   NextThread next_thread,
                   Serve serve)
    : io_(std::move(io)),
      unix_socket_(bound.unix_socket),
      acceptor_(io_->context()),
      retry_(io_->context()),
      next_thread_(std::move(next_thread)),
      serve_(std::move(serve)) {
  const int family = bound.unix_socket ? AF_UNIX : AF_INET6;
  boost::system::error_code ignored;
  acceptor_.assign(boost::asio::generic::stream_protocol(family, 0), bound.fd, ignored);
}

void Listener::Accept() {
  if (closed_) return;
  acceptor_.async_wait(
      Acceptor::wait_read,
      [self = shared_from_this()](const boost::system::error_code&) { self->OnReady(); });
}

void Listener::OnReady() {
  for (int i = 0; i < kAcceptBurst && !closed_; ++i) {
    // Not Asio's accept: without close-on-exec a desktop started at this moment would inherit
    // somebody's connection.
    const int fd =
        accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      OnAccepted(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      // The waiting peers stay in the backlog for a moment.
      retry_.expires_after(kRetry);
      retry_.async_wait(
          [self = shared_from_this()](const boost::system::error_code&) { self->Accept(); });
      return;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    }
  }
  Accept();
}

void Listener::Close() {
  closed_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  retry_.cancel();
  serve_ = nullptr;
  next_thread_ = nullptr;
}

void Listener::OnAccepted(int fd) {
  const auto home = next_thread_();
  Socket socket(home->context());
  boost::system::error_code failed;
  socket.assign(
      boost::asio::generic::stream_protocol(unix_socket_ ? AF_UNIX : AF_INET6, 0), fd, failed);
  if (failed) {
    close(fd);
    return;
  }
  Accepted accepted;
  if (unix_socket_) {
    accepted.remote = "unix";
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0) {
      accepted.peer = PeerProcess{credentials.pid, credentials.uid};
    }
  } else {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return;
    accepted.remote = TextOf(storage);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  serve_(home, std::move(socket), std::move(accepted));
}

}  // namespace sluice::net::internal
