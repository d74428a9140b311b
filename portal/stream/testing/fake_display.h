// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/guarded.h"

// For tests: an RFB server on a unix socket that sends whatever it is told to.
namespace sluice::stream::testing {

// One accepted connection. Waits end after ten seconds, as if the peer had closed.
class DisplayPeer {
 public:
  explicit DisplayPeer(int fd) : fd_(fd) {}
  bool Send(std::string_view bytes);
  // Whether the other side takes more within that time.
  bool WaitWritable(std::chrono::milliseconds at_most);
  // Reads so many bytes, or fewer at the end.
  std::string Read(size_t bytes);
  // The display's half of the handshake, for a desktop of 64 by 48.
  bool ShakeHands();

 private:
  const int fd_;
};

// Serves each connection on a thread of its own by calling `serve`; hangs up when that returns.
class FakeDisplay {
 public:
  using Serve = std::function<void(DisplayPeer&)>;
  FakeDisplay(const std::string& path, Serve serve);
  ~FakeDisplay();  // Hangs up on everybody and joins.
  FakeDisplay(const FakeDisplay&) = delete;
  FakeDisplay& operator=(const FakeDisplay&) = delete;

  // Waits until nobody is connected.
  bool WaitIdle();
  int connections() const;

 private:
  struct Counts {
    int open = 0;
    int all = 0;
    std::vector<int> fds;
  };
  void Loop();
  void ServeOne(int fd);

  const std::string path_;
  const Serve serve_;
  int listener_ = -1;
  Guarded<Counts> counts_;
  Guarded<std::vector<std::thread>> peers_;
  std::thread thread_;
};

// Shakes hands, then sends back as an update of one pixel for every update request, and notes
// nothing else.
void ServePixels(DisplayPeer& peer);

}  // namespace sluice::stream::testing
