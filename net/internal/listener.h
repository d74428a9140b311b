// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/guarded.h"
#include "base/result.h"
#include "net/internal/connection.h"
#include "net/internal/io_thread.h"
#include "net/internal/transport.h"
#include "net/server.h"

namespace sluice::net::internal {

// Counts connections, in all and per address. Thread-safe.
class Admission : public std::enable_shared_from_this<Admission> {
 public:
  Admission(size_t connections_max, size_t per_address_max)
      : connections_max_(connections_max), per_address_max_(per_address_max) {}

  // A token that counts as long as it lives; null when a limit is reached. Unix peers (`address`
  // empty) count in all only.
  std::shared_ptr<void> Admit(const std::string& address);

 private:
  struct Counts {
    size_t all = 0;
    std::map<std::string, size_t> by_address;
  };
  const size_t connections_max_;
  const size_t per_address_max_;
  Guarded<Counts> counts_;
};

// A bound socket, not yet accepting.
struct Bound {
  int fd = -1;
  uint16_t port = 0;
  bool unix_socket = false;
};

// Binds and listens. Fails as Server::Create says.
Result<Bound> Bind(const Listen& listen);

// Accepts on one address and hands each socket to `serve`, with the thread it belongs to.
// Made, stopped and run on one IoThread.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  using NextThread = std::function<std::shared_ptr<IoThread>()>;
  using Serve = std::function<void(std::shared_ptr<IoThread>, Socket, Accepted)>;

  Listener(std::shared_ptr<IoThread> io, const Bound& bound, NextThread next_thread, Serve serve);
  void Accept();
  void Close();  // On the thread.

 private:
  using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;

  void OnReady();
  void OnAccepted(int fd);

  std::shared_ptr<IoThread> io_;
  const bool unix_socket_;
  Acceptor acceptor_;
  boost::asio::steady_timer retry_;
  NextThread next_thread_;
  Serve serve_;
  bool closed_ = false;
};

}  // namespace sluice::net::internal
