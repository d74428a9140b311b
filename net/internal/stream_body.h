// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "net/http.h"
#include "net/internal/connection.h"

namespace sluice::net::internal {

// The body of a streamed response, as its writer holds it. Thread-safe.
class StreamBody final : public ResponseStream, public std::enable_shared_from_this<StreamBody> {
 public:
  StreamBody(std::shared_ptr<Channel> channel,
             std::weak_ptr<Connection> connection,
             size_t queue_bytes_max);

  bool Write(std::shared_ptr<const std::string> piece) override;
  void Close() override;
  bool closed() const override { return closed_; }
  void OnClose(std::function<void()> callback) override;

  // On the channel's thread.
  void Begin(bool chunked);
  void Gone();  // The connection ended: calls the callback, once.

 private:
  void End();
  void WriteOnThread(const std::shared_ptr<const std::string>& piece);

  struct Closing {
    bool gone = false;
    std::function<void()> callback;
  };

  const std::shared_ptr<Channel> channel_;
  const std::weak_ptr<Connection> connection_;
  const size_t queue_bytes_max_;
  std::atomic<bool> closed_{false};
  std::atomic<size_t> posted_bytes_{0};  // Handed in from other threads, not yet in the channel.
  bool begun_ = false;
  std::vector<std::shared_ptr<const std::string>> early_;  // Came before the head was sent.
  bool chunked_ = true;
  bool end_wanted_ = false;
  Guarded<Closing> closing_;
};

}  // namespace sluice::net::internal
