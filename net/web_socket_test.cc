// SPDX-License-Identifier: Apache-2.0
// WebSocket between our server and our client, and between our server and peers that misbehave.
#include <gtest/gtest.h>
#include <utility>

#include "base/guarded.h"
#include "net/client.h"
#include "net/internal/web_socket_codec.h"
#include "net/server.h"
#include "net/testing/raw_socket.h"

namespace sluice::net {
namespace {

using internal::AppendFrame;
using internal::Opcode;
using std::chrono::milliseconds;
using testing::RawSocket;

constexpr milliseconds kSoon{10'000};
constexpr uint32_t kMask = 0x01020304;
constexpr char kUpgrade[] =
    "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

// A server whose WebSockets echo, and what it saw of the last one.
class EchoServer {
 public:
  explicit EchoServer(ServerOptions options = {}, WebSocketOptions web_socket = {}) {
    Listen listen;
    listen.address = "127.0.0.1";
    auto server = Server::Create(
        {listen}, options, [this, web_socket](const Request&, const auto& responder) {
          const auto socket = responder->AcceptWebSocket(web_socket);
          if (!socket) return;
          socket->OnMessage([socket](MessageType type, std::string_view bytes) {
            socket->Send(type, std::string(bytes));
          });
          socket->OnClose([this](CloseCode code) {
            closed_.Change([code](std::optional<CloseCode>& value) { value = code; });
          });
          socket->Start();
          opened_.Change([&](std::shared_ptr<WebSocket>& value) { value = socket; });
        });
    EXPECT_TRUE(server);
    server_ = *std::move(server);
  }

  uint16_t port() const { return server_->Ports()[0]; }
  Endpoint endpoint() const { return {"http://127.0.0.1:" + std::to_string(port()), "", ""}; }

  std::shared_ptr<WebSocket> socket() {
    opened_.WaitFor(kSoon, [](const auto& value) { return value != nullptr; });
    return opened_.With([](const auto& value) { return value; });
  }

  std::optional<CloseCode> WaitClosed() {
    closed_.WaitFor(kSoon, [](const auto& value) { return value.has_value(); });
    return closed_.With([](const auto& value) { return value; });
  }

  void Stop() { server_.reset(); }

 private:
  Guarded<std::shared_ptr<WebSocket>> opened_;
  Guarded<std::optional<CloseCode>> closed_;
  std::unique_ptr<Server> server_;
};

std::string Frame(Opcode opcode, std::string_view payload) {
  std::string out;
  AppendFrame(out, opcode, payload, kMask);
  return out;
}

// Upgrades, sends `bytes`, and returns the close code that comes back (0: none).
int CloseCodeFor(uint16_t port, const std::string& bytes) {
  RawSocket socket(port);
  socket.Send(kUpgrade);
  EXPECT_NE(socket.ReadUntil("\r\n\r\n").find("101"), std::string::npos);
  socket.Send(bytes);
  const std::string answer = socket.ReadToEnd();
  const size_t at = answer.find('\x88');
  if (at == std::string::npos || answer.size() < at + 4) return 0;
  return static_cast<uint8_t>(answer[at + 2]) << 8 | static_cast<uint8_t>(answer[at + 3]);
}

TEST(WebSocket, EchoesMessagesOfEverySize) {
  EchoServer server;
  auto client = WebSocketClient::Connect(server.endpoint(), "/ws", {});
  ASSERT_TRUE(client) << client.error().message;
  for (const size_t size : {0u, 1u, 125u, 126u, 65'535u, 65'536u, 1'048'576u}) {
    const std::string bytes(size, 'b');
    ASSERT_TRUE((*client)->Send(MessageType::kBinary, bytes));
    const auto message = (*client)->Receive(kSoon);
    ASSERT_TRUE(message) << message.error().message;
    EXPECT_EQ(message->bytes.size(), size);
    EXPECT_EQ(message->type, MessageType::kBinary);
  }
  ASSERT_TRUE((*client)->Send(MessageType::kText, "Grüße"));
  EXPECT_EQ((*client)->Receive(kSoon)->bytes, "Grüße");
}

TEST(WebSocket, AnswersTheHandshakeOfTheStandard) {
  EchoServer server;
  RawSocket socket(server.port());
  socket.Send(kUpgrade);
  const std::string head = socket.ReadUntil("\r\n\r\n");
  EXPECT_NE(head.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), std::string::npos);
}

TEST(WebSocket, TakesMessagesThatComeWithTheUpgrade) {
  EchoServer server;
  RawSocket socket(server.port());
  socket.Send(kUpgrade + Frame(Opcode::kText, "early"));
  socket.ReadUntil("\r\n\r\n");
  EXPECT_EQ(socket.Read(7),
            "\x81\x05"
            "early");
}

TEST(WebSocket, JoinsFragmentsAroundAPing) {
  EchoServer server;
  RawSocket socket(server.port());
  socket.Send(kUpgrade);
  socket.ReadUntil("\r\n\r\n");
  std::string first = Frame(Opcode::kText, "Hel");
  first[0] = '\x01';
  socket.Send(first + Frame(Opcode::kPing, "?") + Frame(Opcode::kContinuation, "lo"));
  EXPECT_EQ(socket.Read(3), "\x8a\x01?");
  EXPECT_EQ(socket.Read(7), "\x81\x05Hello");
}

TEST(WebSocket, ClosesWhatBreaksTheFraming) {
  WebSocketOptions options;
  options.message_bytes_max = 1000;
  EchoServer server({}, options);
  std::string unmasked;
  AppendFrame(unmasked, Opcode::kText, "x");
  std::string fragmented_ping = Frame(Opcode::kPing, "");
  fragmented_ping[0] = '\x09';
  std::string begun = Frame(Opcode::kText, "a");
  begun[0] = '\x01';
  std::string reserved = Frame(Opcode::kText, "a");
  reserved[0] = '\xc1';
  const std::string huge_claim("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", 14);
  const std::string code_too_short = Frame(Opcode::kClose, "x");
  const struct {
    const char* name;
    std::string bytes;
    int code;
  } cases[] = {
      {"unmasked", unmasked, 1002},
      {"continuation first", Frame(Opcode::kContinuation, "x"), 1002},
      {"message inside a message", begun + Frame(Opcode::kText, "b"), 1002},
      {"fragmented ping", fragmented_ping, 1002},
      {"reserved bit", reserved, 1002},
      {"unknown opcode", Frame(static_cast<Opcode>(3), "x"), 1002},
      {"too large", Frame(Opcode::kBinary, std::string(1001, 'x')), 1009},
      {"too large in pieces",
       std::string(begun).append(Frame(Opcode::kContinuation, std::string(1000, 'x'))),
       1009},
      {"claims 9 EiB", huge_claim, 1009},
      {"not UTF-8", Frame(Opcode::kText, "\xff"), 1007},
      {"half a close code", code_too_short, 1002},
      {"close code 1005", Frame(Opcode::kClose, std::string("\x03\xed", 2)), 1002},
      {"good bye", Frame(Opcode::kClose, std::string("\x03\xe8", 2)), 1000},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(CloseCodeFor(server.port(), one.bytes), one.code) << one.name;
  }
  EXPECT_TRUE(WebSocketClient::Connect(server.endpoint(), "/ws", {})) << "the server lives on";
}

TEST(WebSocket, RefusesWhatIsNoUpgrade) {
  EchoServer server;
  auto client = Client::Create(server.endpoint());
  Request request;
  request.method = "GET";
  request.target = "/ws";
  const auto response = (*client)->Send(request, kSoon);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 426);
}

TEST(WebSocket, TellsThePeerWhyItCloses) {
  EchoServer server;
  auto client = WebSocketClient::Connect(server.endpoint(), "/ws", {});
  server.socket()->Close(CloseCode::kTakenOver, "another tab");
  const auto message = (*client)->Receive(kSoon);
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().message, "closed 4001 another tab");
  EXPECT_EQ(server.WaitClosed(), CloseCode::kTakenOver);
}

TEST(WebSocket, DropsAPeerThatIsSilent) {
  ServerOptions options;
  options.ping_every = milliseconds(40);
  EchoServer server(options);
  RawSocket socket(server.port());
  socket.Send(kUpgrade);
  socket.ReadUntil("\r\n\r\n");
  // It reads the pings but never answers, as behind a cable that was pulled.
  EXPECT_EQ(server.WaitClosed(), CloseCode::kGoingAway);
}

TEST(WebSocket, NoticesAPeerThatVanishes) {
  EchoServer server;
  {
    RawSocket socket(server.port());
    socket.Send(kUpgrade);
    socket.ReadUntil("\r\n\r\n");
  }
  EXPECT_EQ(server.WaitClosed(), CloseCode::kGoingAway);
}

TEST(WebSocket, TellsOfAPeerThatWasGoneBeforeItStarted) {
  ServerOptions options;
  options.io_threads = 1;
  Guarded<std::shared_ptr<Responder>> waiting;
  Guarded<bool> closed;
  Listen listen;
  listen.address = "127.0.0.1";
  const auto server =
      Server::Create({listen}, options, [&](const Request& request, const auto& responder) {
        if (request.path != "/ws") return responder->Send(Response{});
        waiting.Change([&](std::shared_ptr<Responder>& value) { value = responder; });
      });
  ASSERT_TRUE(server);
  const uint16_t port = (*server)->Ports()[0];
  {
    RawSocket socket(port);
    socket.Send(kUpgrade);
    ASSERT_TRUE(waiting.WaitFor(kSoon, [](const auto& value) { return value != nullptr; }));
  }
  // One round through the only loop, which sees the end of the first connection on the way.
  RawSocket other(port);
  other.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  other.ReadUntil("\r\n\r\n");
  const auto responder = waiting.With([](auto& value) { return std::exchange(value, nullptr); });
  const auto late = responder->AcceptWebSocket({});
  ASSERT_TRUE(late);
  late->OnClose([&](CloseCode) { closed.Change([](bool& value) { value = true; }); });
  late->Start();
  EXPECT_TRUE(closed.WaitFor(kSoon, [](bool value) { return value; }));
}

TEST(WebSocket, CutsASlowReaderOff) {
  ServerOptions options;
  options.stream_queue_bytes_max = 1 << 20;
  EchoServer server(options);
  RawSocket socket(server.port());
  socket.Send(kUpgrade);
  socket.ReadUntil("\r\n\r\n");
  const auto sender = server.socket();
  for (int i = 0; i < 10'000 && sender->QueuedBytes() < (1 << 20) - 64 * 1024; ++i) {
    sender->Send(MessageType::kBinary, std::string(64 * 1024, 'x'));
  }
  for (int i = 0; i < 100; ++i) sender->Send(MessageType::kBinary, std::string(64 * 1024, 'x'));
  EXPECT_EQ(server.WaitClosed(), CloseCode::kPolicy);
}

TEST(WebSocket, DropsAPeerThatTakesNothing) {
  ServerOptions options;
  options.write_stall_max = milliseconds(50);
  options.stream_queue_bytes_max = size_t{64} << 20;
  EchoServer server(options);
  RawSocket socket(server.port());
  socket.Send(kUpgrade);
  socket.ReadUntil("\r\n\r\n");
  server.socket()->Send(MessageType::kBinary, std::string(size_t{32} << 20, 'x'));
  EXPECT_EQ(server.WaitClosed(), CloseCode::kGoingAway);
}

TEST(WebSocket, HoldsBackAPeerWhileReadingIsPaused) {
  EchoServer server;
  auto client = WebSocketClient::Connect(server.endpoint(), "/ws", {});
  ASSERT_TRUE(client);
  server.socket()->PauseReading(true);
  ASSERT_TRUE((*client)->Send(MessageType::kText, "one"));
  ASSERT_TRUE((*client)->Send(MessageType::kText, "two"));
  server.socket()->PauseReading(false);
  // The first may have slipped in before the pause; both come, in order, after it.
  EXPECT_EQ((*client)->Receive(kSoon)->bytes, "one");
  EXPECT_EQ((*client)->Receive(kSoon)->bytes, "two");
}

TEST(WebSocket, SaysGoodbyeWhenTheServerStops) {
  EchoServer server;
  auto client = WebSocketClient::Connect(server.endpoint(), "/ws", {});
  ASSERT_TRUE(server.socket());
  server.Stop();
  const auto message = (*client)->Receive(kSoon);
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().message.substr(0, 11), "closed 1001");
}

}  // namespace
}  // namespace sluice::net
