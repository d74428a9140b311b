// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/testing/viewer.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

namespace sluice::stream::testing {
namespace {

constexpr std::chrono::seconds kPatience{10};

}  // namespace

Result<std::unique_ptr<Viewer>> Viewer::Open(const net::Endpoint& endpoint,
                                             const std::string& ticket,
                                             bool take_over,
                                             const std::string& protocol) {
  net::Headers headers;
  if (!protocol.empty()) headers.Add("Sec-WebSocket-Protocol", protocol);
  auto socket = net::WebSocketClient::Connect(endpoint, "/v1/stream", headers);
  if (!socket) return Fail(socket.error());
  std::unique_ptr<Viewer> viewer(new Viewer(*std::move(socket)));
  const nlohmann::json message = {{"ticket", ticket}, {"take_over", take_over}};
  static_cast<void>(viewer->socket_->Send(net::MessageType::kText, message.dump()));
  return viewer;
}

bool Viewer::Receive() {
  if (!closed_.empty()) return false;
  auto message = socket_->Receive(kPatience);
  if (!message) {
    closed_ = message.error().message;
    return false;
  }
  if (message->type == net::MessageType::kText) {
    texts_.push_back(std::move(message->bytes));
  } else {
    rfb_ += message->bytes;
  }
  return true;
}

std::string Viewer::NextText() {
  while (texts_.empty()) {
    if (!Receive()) return closed_;
  }
  std::string text = std::move(texts_.front());
  texts_.pop_front();
  return text;
}

std::string Viewer::Read(size_t bytes) {
  while (rfb_.size() < bytes && Receive()) {
  }
  std::string out = rfb_.substr(0, bytes);
  rfb_.erase(0, out.size());
  return out;
}

std::string Viewer::ReadSome() {
  while (rfb_.empty() && Receive()) {
  }
  return std::exchange(rfb_, {});
}

bool Viewer::Send(const std::string& rfb) {
  return socket_->Send(net::MessageType::kBinary, rfb).has_value();
}

std::string Viewer::ShakeHands() {
  const std::string version = Read(12);
  Send(version);
  const std::string types = Read(2);
  Send(std::string("\x01", 1));
  const std::string result = Read(4);
  Send(std::string("\x01", 1));
  std::string init = Read(24);
  if (init.size() < 24) return version + types + result + init + closed_;
  const size_t name_bytes = static_cast<uint8_t>(init[22]) * 256u + static_cast<uint8_t>(init[23]);
  Read(name_bytes);
  return init;
}

std::string Viewer::WaitClosed() {
  while (Receive()) {
  }
  return closed_;
}

}  // namespace sluice::stream::testing
