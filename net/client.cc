// SPDX-License-Identifier: Apache-2.0
#include "net/client.h"

#include <algorithm>
#include <array>
#include <deque>
#include <fmt/core.h>
#include <openssl/evp.h>
#include <utility>

#include "base/random.h"
#include "net/internal/client_stream.h"
#include "net/internal/http_codec.h"
#include "net/internal/target.h"
#include "net/internal/web_socket_codec.h"

namespace sluice::net {
namespace {

using internal::ClientStream;
using internal::Deadline;
using internal::FeedOutcome;
using internal::ResponseParser;

constexpr size_t kBodyBytesMax = size_t{256} << 20;
constexpr size_t kMessageBytesMax = size_t{64} << 20;
constexpr std::chrono::seconds kConnectMax{10};
// A stream of events has a heartbeat every 15 s.
constexpr std::chrono::seconds kStreamSilenceMax{60};

tl::unexpected<Error> BadAnswer() {
  return Fail(Code::kUnavailable, "the server's answer is not HTTP");
}

class HttpClient final : public Client {
 public:
  explicit HttpClient(Endpoint endpoint) : endpoint_(std::move(endpoint)) {}

  Result<Response> Send(const Request& request, std::chrono::milliseconds at_most) override {
    const Deadline deadline = std::chrono::steady_clock::now() + at_most;
    const bool reused = stream_ != nullptr;
    bool answered = false;
    auto response = SendOnce(request, deadline, answered);
    // A kept-alive connection may have been closed meanwhile; then nothing of this request was
    // looked at. A late or half answer is never repeated: the request may have had its effect.
    if (!response && reused && !answered && response.error().code == Code::kUnavailable) {
      response = SendOnce(request, deadline, answered);
    }
    return response;
  }

  Result<void> Stream(const Request& request,
                      const std::function<bool(std::string_view)>& piece) override {
    auto streamed = StreamOnce(request, piece);
    stream_.reset();
    input_.clear();
    return streamed;
  }

 private:
  Result<void> Open(const Request& request, Deadline deadline) {
    if (!stream_) {
      input_.clear();
      auto stream = ClientStream::Connect(endpoint_, deadline);
      if (!stream) return Fail(stream.error());
      stream_ = *std::move(stream);
    }
    return stream_->Write(internal::SerializeRequest(request, stream_->host()), deadline);
  }

  // Reads once; false at the end of the stream.
  Result<bool> Fill(Deadline deadline) {
    auto count = stream_->Read(buffer_, deadline);
    if (!count) return Fail(count.error());
    input_.append(buffer_.data(), *count);
    return *count > 0;
  }

  Result<Response> SendOnce(const Request& request, Deadline deadline, bool& answered) {
    auto response = Exchange(request, deadline, answered);
    if (!response) stream_.reset();
    return response;
  }

  Result<Response> Exchange(const Request& request, Deadline deadline, bool& answered) {
    auto opened = Open(request, deadline);
    if (!opened) return Fail(opened.error());
    auto parser = ResponseParser::Create(kBodyBytesMax, request.method == "HEAD");
    while (true) {
      size_t consumed = 0;
      FeedOutcome outcome = parser->Feed(input_, consumed);
      input_.erase(0, consumed);
      if (outcome == FeedOutcome::kNeedMore) {
        auto more = Fill(deadline);
        if (!more) return Fail(more.error());
        answered = answered || *more;
        if (*more) continue;
        if (!answered) return Fail(Code::kUnavailable, "the server closed the connection");
        outcome = parser->FeedEnd();
      }
      if (outcome != FeedOutcome::kDone) return BadAnswer();
      Response response = parser->TakeHead();
      if (response.status == 100) {
        parser = ResponseParser::Create(kBodyBytesMax, request.method == "HEAD");
        continue;
      }
      response.body = parser->TakeBody();
      if (!parser->KeepAlive()) stream_.reset();
      return response;
    }
  }

  Result<void> StreamOnce(const Request& request,
                          const std::function<bool(std::string_view)>& piece) {
    stream_.reset();
    auto opened = Open(request, std::chrono::steady_clock::now() + kConnectMax);
    if (!opened) return opened;
    const auto parser = ResponseParser::Create(0, false);
    bool checked = false;
    while (true) {
      size_t consumed = 0;
      FeedOutcome outcome = parser->Feed(input_, consumed);
      input_.erase(0, consumed);
      if (!checked && parser->HeadDone()) {
        checked = true;
        const int status = parser->TakeHead().status;
        if (status != 200) {
          return Fail(Code::kUnavailable, fmt::format("the server answered {}", status));
        }
      }
      const std::string body = checked ? parser->TakeBody() : std::string();
      if (!body.empty() && !piece(body)) return {};
      if (outcome == FeedOutcome::kNeedMore) {
        auto more = Fill(std::chrono::steady_clock::now() + kStreamSilenceMax);
        if (!more) return Fail(more.error());
        if (*more) continue;
        outcome = parser->FeedEnd();
      }
      return outcome == FeedOutcome::kDone ? Result<void>() : BadAnswer();
    }
  }

  const Endpoint endpoint_;
  std::unique_ptr<ClientStream> stream_;
  std::string input_;
  std::array<char, 32 * 1024> buffer_{};
};

class BlockingWebSocket final : public WebSocketClient {
 public:
  explicit BlockingWebSocket(std::unique_ptr<ClientStream> stream)
      : stream_(std::move(stream)),
        decoder_(internal::WebSocketDecoder::Peer::kServer, kMessageBytesMax) {}

  ~BlockingWebSocket() override { Close(); }

  Result<void> Upgrade(const std::string& target, const Headers& headers, Deadline deadline) {
    Request request;
    request.method = "GET";
    request.target = target;
    request.headers = headers;
    const std::string key = NewKey();
    request.headers.Set("Upgrade", "websocket");
    request.headers.Set("Connection", "Upgrade");
    request.headers.Set("Sec-WebSocket-Version", "13");
    request.headers.Set("Sec-WebSocket-Key", key);
    auto written = stream_->Write(internal::SerializeRequest(request, stream_->host()), deadline);
    if (!written) return written;
    const auto parser = ResponseParser::Create(kBodyBytesMax, false);
    std::string input;
    while (!parser->HeadDone()) {
      auto count = stream_->Read(buffer_, deadline);
      if (!count) return Fail(count.error());
      if (*count == 0) return Fail(Code::kUnavailable, "the server closed the connection");
      input.append(buffer_.data(), *count);
      size_t consumed = 0;
      const FeedOutcome outcome = parser->Feed(input, consumed);
      input.erase(0, consumed);
      if (outcome != FeedOutcome::kDone && outcome != FeedOutcome::kNeedMore) return BadAnswer();
    }
    const Response head = parser->TakeHead();
    if (head.status != 101) {
      return Fail(Code::kUnavailable, fmt::format("the server answered {}", head.status));
    }
    if (head.headers.Get("Sec-WebSocket-Accept") != internal::AcceptKey(key)) return BadAnswer();
    return Decode(input);
  }

  Result<void> Send(MessageType type, std::string_view bytes) override {
    return SendFrame(
        type == MessageType::kText ? internal::Opcode::kText : internal::Opcode::kBinary, bytes);
  }

  Result<Message> Receive(std::chrono::milliseconds at_most) override {
    const Deadline deadline = std::chrono::steady_clock::now() + at_most;
    while (messages_.empty()) {
      if (!closed_.empty()) return Fail(Code::kUnavailable, closed_);
      auto count = stream_->Read(buffer_, deadline);
      if (!count) return Fail(count.error());
      if (*count == 0) {
        closed_ = "closed 1006 without a close frame";
        continue;
      }
      auto decoded = Decode(std::string_view(buffer_.data(), *count));
      if (!decoded) return Fail(decoded.error());
    }
    Message message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }

  void Close() override {
    if (close_sent_) return;
    close_sent_ = true;
    static_cast<void>(
        SendFrame(internal::Opcode::kClose, internal::ClosePayload(CloseCode::kNormal, "")));
  }

 private:
  static std::string NewKey() {
    std::array<unsigned char, 16> raw{};
    SystemRandom random;
    for (unsigned char& byte : raw) byte = static_cast<unsigned char>(random.Next());
    std::array<unsigned char, 32> text{};
    const int length = EVP_EncodeBlock(text.data(), raw.data(), raw.size());
    return {text.begin(), text.begin() + length};
  }

  Result<void> SendFrame(internal::Opcode opcode, std::string_view bytes) {
    std::string frame;
    internal::AppendFrame(frame, opcode, bytes, static_cast<uint32_t>(SystemRandom().Next()));
    return stream_->Write(frame, std::chrono::steady_clock::now() + kConnectMax);
  }

  Result<void> Decode(std::string_view bytes) {
    const auto violation = decoder_.Feed(bytes, [this](const auto& event) {
      switch (event.kind) {
        case internal::Opcode::kText:
          messages_.push_back(Message{MessageType::kText, std::string(event.bytes)});
          return true;
        case internal::Opcode::kBinary:
          messages_.push_back(Message{MessageType::kBinary, std::string(event.bytes)});
          return true;
        case internal::Opcode::kPing:
          static_cast<void>(SendFrame(internal::Opcode::kPong, event.bytes));
          return true;
        case internal::Opcode::kClose:
          closed_ = fmt::format("closed {} {}", static_cast<int>(event.code), event.bytes);
          Close();
          return false;
        default:
          return true;
      }
    });
    if (violation) return Fail(Code::kUnavailable, "the server broke the framing");
    return {};
  }

  std::unique_ptr<ClientStream> stream_;
  internal::WebSocketDecoder decoder_;
  std::deque<Message> messages_;
  std::string closed_;
  bool close_sent_ = false;
  std::array<char, 64 * 1024> buffer_{};
};

}  // namespace

Result<std::unique_ptr<Client>> Client::Create(const Endpoint& endpoint) {
  return std::unique_ptr<Client>(std::make_unique<HttpClient>(endpoint));
}

Result<std::unique_ptr<WebSocketClient>> WebSocketClient::Connect(const Endpoint& endpoint,
                                                                  const std::string& target,
                                                                  const Headers& headers) {
  const Deadline deadline = std::chrono::steady_clock::now() + kConnectMax;
  auto stream = ClientStream::Connect(endpoint, deadline);
  if (!stream) return Fail(stream.error());
  auto socket = std::make_unique<BlockingWebSocket>(*std::move(stream));
  auto upgraded = socket->Upgrade(target, headers, deadline);
  if (!upgraded) return Fail(upgraded.error());
  return std::unique_ptr<WebSocketClient>(std::move(socket));
}

}  // namespace sluice::net
