// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <cstdint>
#include <netinet/in.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

// For tests: a TCP peer that sends whatever it is told to, well-formed or not.
namespace sluice::net::testing {

// Every wait ends after ten seconds, as if the peer had closed. One thread at a time.
class RawSocket {
 public:
  explicit RawSocket(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    timeval limit{10, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawSocket() { close(fd_); }
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;

  bool connected() const { return connected_; }

  // False when the peer does not take it.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
    return true;
  }

  void ShutdownSend() { shutdown(fd_, SHUT_WR); }

  // Reads until `mark` has come (or the end) and returns everything up to and with it.
  std::string ReadUntil(std::string_view mark) {
    while (true) {
      const size_t at = unread_.find(mark);
      if (at != std::string::npos) {
        std::string out = unread_.substr(0, at + mark.size());
        unread_.erase(0, out.size());
        return out;
      }
      if (!Fill()) return std::move(unread_);
    }
  }

  // Reads exactly so many bytes, or fewer at the end.
  std::string Read(size_t bytes) {
    while (unread_.size() < bytes && Fill()) {
    }
    std::string out = unread_.substr(0, bytes);
    unread_.erase(0, out.size());
    return out;
  }

  std::string ReadToEnd() {
    while (Fill()) {
    }
    return std::move(unread_);
  }

 private:
  bool Fill() {
    char buffer[16 * 1024];
    const ssize_t count = recv(fd_, buffer, sizeof buffer, 0);
    if (count <= 0) return false;
    unread_.append(buffer, static_cast<size_t>(count));
    return true;
  }

  int fd_;
  bool connected_ = false;
  std::string unread_;
};

}  // namespace sluice::net::testing
