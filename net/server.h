// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http.h"

namespace sluice::net {

struct TlsFiles {
  std::string certificate_pem;  // Path; the chain, leaf first.
  std::string key_pem;          // Path.
};

struct Listen {
  std::string address;          // "127.0.0.1", "::1", "0.0.0.0".
  uint16_t port = 0;            // 0: the kernel picks.
  std::string unix_path;        // Instead of address and port; made with mode 0600.
  std::optional<TlsFiles> tls;  // Required for any address that is not loopback.
};

struct ServerOptions {
  int io_threads = 2;
  // A larger body is answered 413. Better for users with big requests when larger; worse for
  // memory under attack.
  size_t body_bytes_max = 256 * 1024;
  size_t header_bytes_max = 16 * 1024;
  std::chrono::milliseconds request_time_max{15'000};  // Head and body, from the first byte.
  std::chrono::milliseconds idle_time_max{75'000};     // Keep-alive without a request.
  // A WebSocket is pinged so often, and dropped when nothing came back for twice as long.
  std::chrono::milliseconds ping_every{20'000};
  // A peer that takes no byte of what is queued for so long is dropped.
  std::chrono::milliseconds write_stall_max{60'000};
  size_t connections_max = 4'096;
  size_t connections_per_address_max = 1'024;
  // A stream or WebSocket whose peer does not read is cut off past this.
  size_t stream_queue_bytes_max = 8 << 20;
};

// A byte stream to a unix socket, driven by the server's I/O threads: how a desktop's display is
// reached. Send, Close, PauseReading are thread-safe; callbacks one at a time.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  virtual void OnData(std::function<void(std::string_view)> callback) = 0;
  virtual void OnClose(std::function<void()> callback) = 0;
  virtual void OnDrained(std::function<void()> callback) = 0;
  virtual void Start() = 0;
  virtual void Send(std::string bytes) = 0;
  virtual size_t QueuedBytes() const = 0;
  virtual void PauseReading(bool pause) = 0;
  virtual void Close() = 0;
};

// HTTP/1.1 with keep-alive, WebSocket and TLS (1.2 and 1.3). Thread-safe.
class Server {
 public:
  // Binds and starts the threads; requests reach `handler`. Fails with kAlreadyExists and the
  // address when the port or socket is taken, kInvalidArgument when a non-loopback address comes
  // without TLS, kFailedPrecondition when a certificate cannot be read.
  static Result<std::unique_ptr<Server>> Create(const std::vector<Listen>& listens,
                                                const ServerOptions& options,
                                                Handler handler);
  virtual ~Server() = default;  // Stops: closes listeners and connections, joins the threads.

  // Ports actually bound, in the order of `listens` (0 for unix sockets).
  virtual std::vector<uint16_t> Ports() const = 0;

  // Connects to a unix stream socket, at most a second. Fails with kUnavailable.
  virtual Result<std::shared_ptr<ByteStream>> ConnectUnix(const std::string& path) = 0;

  // Runs `work` on a small pool for what blocks (password hashing); at most `blocking_queue` wait.
  // False: the pool is full.
  virtual bool RunBlocking(std::function<void()> work) = 0;

  // Calls `tick` every `every` on an I/O thread until the server is destroyed.
  virtual void Every(std::chrono::milliseconds every, std::function<void()> tick) = 0;
};

struct OwnCertificate {
  std::string fingerprint;  // SHA-256, "AA:BB:…".
  bool renewed = false;     // It took the place of one that was about to end.
};

// Makes a self-signed ECDSA P-256 certificate for `names`; files are made 0600. Existing files are
// kept, but a certificate with less than 30 days left is made again for the same key. Fails with
// kUnavailable when the folder cannot be written or the files cannot be read.
Result<OwnCertificate> EnsureCertificate(const TlsFiles& files,
                                         const std::vector<std::string>& names,
                                         int days_valid = 825);

}  // namespace sluice::net
