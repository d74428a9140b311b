// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/testing/fake_display.h"

#include <algorithm>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include "base/check.h"
#include "portal/stream/testing/rfb_bytes.h"

namespace sluice::stream::testing {

bool DisplayPeer::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

bool DisplayPeer::WaitWritable(std::chrono::milliseconds at_most) {
  pollfd one{fd_, POLLOUT, 0};
  return poll(&one, 1, static_cast<int>(at_most.count())) > 0;
}

std::string DisplayPeer::Read(size_t bytes) {
  std::string out(bytes, '\0');
  size_t got = 0;
  while (got < bytes) {
    const ssize_t count = recv(fd_, out.data() + got, bytes - got, 0);
    if (count <= 0) break;
    got += static_cast<size_t>(count);
  }
  out.resize(got);
  return out;
}

bool DisplayPeer::ShakeHands() {
  const std::string hello = ServerHandshake(64, 48);
  // Version; types; result and init: each after what the client has to say before it.
  return Send(hello.substr(0, 12)) && Read(12).size() == 12 && Send(hello.substr(12, 2)) &&
         Read(1).size() == 1 && Send(hello.substr(14, 4)) && Read(1).size() == 1 &&
         Send(hello.substr(18));
}

FakeDisplay::FakeDisplay(const std::string& path, Serve serve)
    : path_(path), serve_(std::move(serve)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  SLUICE_CHECK(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  SLUICE_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  SLUICE_CHECK(listen(listener_, 64) == 0);
  thread_ = std::thread([this] { Loop(); });
}

FakeDisplay::~FakeDisplay() {
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
  unlink(path_.c_str());
  counts_.With([](Counts& counts) {
    for (const int fd : counts.fds) shutdown(fd, SHUT_RDWR);
  });
  std::vector<std::thread> peers;
  peers_.With([&](std::vector<std::thread>& threads) { peers.swap(threads); });
  for (std::thread& peer : peers) peer.join();
}

bool FakeDisplay::WaitIdle() {
  return counts_.WaitFor(std::chrono::seconds(10),
                         [](const Counts& counts) { return counts.open == 0; });
}

int FakeDisplay::connections() const {
  return counts_.With([](const Counts& counts) { return counts.all; });
}

void FakeDisplay::Loop() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    timeval limit{10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    counts_.Change([fd](Counts& counts) {
      ++counts.open;
      ++counts.all;
      counts.fds.push_back(fd);
    });
    peers_.With([this, fd](std::vector<std::thread>& threads) {
      threads.emplace_back([this, fd] { ServeOne(fd); });
    });
  }
}

void FakeDisplay::ServeOne(int fd) {
  DisplayPeer peer(fd);
  serve_(peer);
  counts_.Change([fd](Counts& counts) {
    --counts.open;
    std::erase(counts.fds, fd);
    close(fd);
  });
}

void ServePixels(DisplayPeer& peer) {
  if (!peer.ShakeHands()) return;
  while (true) {
    const std::string type = peer.Read(1);
    if (type.empty()) return;
    const size_t more = type[0] == 3 ? 9 : type[0] == 4 ? 7 : type[0] == 0 ? 19 : 5;
    if (peer.Read(more).size() < more) return;
    if (type[0] == 3 && !peer.Send(Update({1, 2, 1, 1, 0}, "rgb0"))) return;
  }
}

}  // namespace sluice::stream::testing
