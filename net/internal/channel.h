// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/internal/io_thread.h"
#include "net/internal/transport.h"

namespace sluice::net::internal {

// A connection's bytes both ways: a read loop that can pause, a queue of what is to be written, a
// deadline. Its owner (an HTTP connection, a WebSocket, a byte stream) speaks the protocol. The
// channel holds its owner alive through the callbacks until it is closed. Methods marked
// thread-safe may be called anywhere, the others on its IoThread.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  struct Events {
    std::function<void(std::string_view)> data;
    std::function<void()> end;       // The peer closed, a read or write failed, or a write stalled.
    std::function<void()> drained;   // The queue became empty.
    std::function<void()> deadline;  // The deadline passed; it is cleared.
    std::function<void()> stop;      // The server stops: say goodbye; the channel closes after.
  };

  struct Options {
    size_t read_bytes = 16 * 1024;
    std::chrono::milliseconds write_stall_max{60'000};  // No byte taken by the peer for so long.
    std::shared_ptr<void> admission;                    // Released when the channel goes.
  };

  // Thread-safe, unlike the rest that is not marked so.
  static std::shared_ptr<Channel> Create(std::shared_ptr<IoThread> io,
                                         std::unique_ptr<Transport> transport,
                                         Options options);
  ~Channel();

  void SetEvents(Events events);
  void Handshake(std::function<void(bool ok)> done);
  void StartReading();
  void PauseReading(bool pause);
  bool reading_paused() const { return paused_; }
  void GrowReadBuffer(size_t bytes);
  void SetDeadline(std::chrono::milliseconds from_now);
  void ClearDeadline() { deadline_ms_ = 0; }
  void ShutdownSend() { transport_->ShutdownSend(); }
  // Drops what is queued; no event is called any more. Idempotent.
  void Close();
  void Stop();

  // Thread-safe.
  void Send(std::string bytes);
  void Send(std::shared_ptr<const std::string> bytes);
  size_t QueuedBytes() const { return closed_ ? 0 : queued_bytes_.load(); }
  bool closed() const { return closed_; }
  // Runs `work` on the I/O thread: at once when called there.
  void Run(std::function<void()> work);

  IoThread& io() { return *io_; }
  bool IsLate(int64_t now_ms) const;
  void HandleLate(int64_t now_ms);

 private:
  struct Piece {
    std::string own;
    std::shared_ptr<const std::string> shared;
    std::string_view view() const { return shared ? std::string_view(*shared) : own; }
  };

  Channel(std::shared_ptr<IoThread> io, std::unique_ptr<Transport> transport, Options options);
  void ReadNext();
  void OnRead(const boost::system::error_code& error, size_t bytes);
  void Enqueue(Piece piece);
  void Flush();
  void OnWritten(const boost::system::error_code& error, size_t bytes);
  void Fail();

  // Declared first: everything below uses its loop and must go before it.
  std::shared_ptr<IoThread> io_;
  std::unique_ptr<Transport> transport_;
  Options options_;
  std::shared_ptr<Events> events_;
  std::vector<char> read_buffer_;
  size_t read_buffer_wanted_ = 0;
  bool started_ = false;
  bool reading_ = false;
  bool paused_ = false;
  bool ended_ = false;
  std::deque<Piece> outbox_;
  size_t outbox_offset_ = 0;  // Written bytes of the first piece.
  size_t in_flight_ = 0;      // Pieces handed to the write under way.
  int64_t deadline_ms_ = 0;
  int64_t write_started_ms_ = 0;
  std::atomic<size_t> queued_bytes_{0};
  std::atomic<bool> closed_{false};
};

}  // namespace sluice::net::internal
