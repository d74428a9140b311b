// SPDX-License-Identifier: Apache-2.0
#include "net/server.h"

#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <future>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guarded.h"
#include "net/client.h"
#include "net/testing/raw_socket.h"

namespace sluice::net {
namespace {

using std::chrono::milliseconds;
using testing::RawSocket;

constexpr milliseconds kSoon{10'000};

Listen Loopback() {
  Listen listen;
  listen.address = "127.0.0.1";
  return listen;
}

std::unique_ptr<Server> StartServer(Handler handler,
                                    ServerOptions options = {},
                                    const Listen& listen = Loopback()) {
  auto server = Server::Create({listen}, options, std::move(handler));
  EXPECT_TRUE(server) << server.error().message;
  return *std::move(server);
}

std::string UrlOf(const Server& server, const char* scheme = "http") {
  return std::string(scheme) + "://127.0.0.1:" + std::to_string(server.Ports()[0]);
}

Request Get(std::string target) {
  Request request;
  request.method = "GET";
  request.target = std::move(target);
  return request;
}

Result<Response> Fetch(const Endpoint& endpoint, const Request& request) {
  auto client = Client::Create(endpoint);
  if (!client) return Fail(client.error());
  return (*client)->Send(request, kSoon);
}

// Answers with what it got: "GET /path body".
void Echo(const Request& request, const std::shared_ptr<Responder>& responder) {
  Response response;
  response.headers.Add("Content-Type", "text/plain");
  response.body = request.method + " " + request.path + " " + request.body;
  responder->Send(std::move(response));
}

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-net-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

TEST(Server, AnswersOverTcp) {
  const auto server = StartServer(Echo);
  Request request = Get("/a%20b?x=1");
  request.method = "POST";
  request.body = "hello";
  const auto response = Fetch({UrlOf(*server)}, request);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->body, "POST /a b hello");
  EXPECT_EQ(response->headers.Get("content-type"), "text/plain");
}

TEST(Server, KeepsAConnectionForManyRequests) {
  std::atomic<int> served{0};
  const auto server = StartServer([&](const Request& request, const auto& responder) {
    ++served;
    Echo(request, responder);
  });
  auto client = Client::Create({UrlOf(*server)});
  for (int i = 0; i < 50; ++i) {
    const auto response = (*client)->Send(Get("/" + std::to_string(i)), kSoon);
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->body, "GET /" + std::to_string(i) + " ");
  }
  EXPECT_EQ(served, 50);
}

TEST(Server, TellsWhoIsAtTheOtherEndOfAUnixSocket) {
  const TempFolder folder;
  Listen listen;
  listen.unix_path = folder / "api.sock";
  PeerProcess seen;
  std::string remote;
  const auto server = StartServer(
      [&](const Request& request, const auto& responder) {
        seen = request.peer.value_or(PeerProcess{});
        remote = request.remote;
        responder->Send(Response{});
      },
      {},
      listen);
  ASSERT_TRUE(Fetch({"unix:" + listen.unix_path}, Get("/")));
  EXPECT_EQ(seen.pid, getpid());
  EXPECT_EQ(seen.uid, getuid());
  EXPECT_EQ(remote, "unix");
  struct stat status {};
  ASSERT_EQ(stat(listen.unix_path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(Server, ReplacesADeadUnixSocketButNotALiveOne) {
  const TempFolder folder;
  Listen listen;
  listen.unix_path = folder / "api.sock";
  {
    const auto first = StartServer(Echo, {}, listen);
    const auto second = Server::Create({listen}, {}, Echo);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::kAlreadyExists);
    EXPECT_NE(second.error().message.find(listen.unix_path), std::string::npos);
    // What a crash leaves behind: the file without anybody behind it.
    std::filesystem::create_hard_link(listen.unix_path, folder / "left.sock");
  }
  std::filesystem::rename(folder / "left.sock", listen.unix_path);
  EXPECT_TRUE(Server::Create({listen}, {}, Echo));
}

TEST(Server, NamesTheAddressThatIsTaken) {
  const auto first = StartServer(Echo);
  Listen listen = Loopback();
  listen.port = first->Ports()[0];
  const auto second = Server::Create({listen}, {}, Echo);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kAlreadyExists);
  EXPECT_NE(second.error().message.find("127.0.0.1:" + std::to_string(listen.port)),
            std::string::npos);
}

TEST(Server, RefusesOtherAddressesWithoutTls) {
  for (const char* address : {"0.0.0.0", "::", "192.0.2.1"}) {
    Listen listen;
    listen.address = address;
    const auto server = Server::Create({listen}, {}, Echo);
    ASSERT_FALSE(server) << address;
    EXPECT_EQ(server.error().code, Code::kInvalidArgument) << address;
  }
}

TEST(Server, SpeaksTlsWithItsOwnCertificate) {
  const TempFolder folder;
  const TlsFiles files{folder / "cert.pem", folder / "key.pem"};
  const auto made = EnsureCertificate(files, {"localhost", "127.0.0.1"});
  ASSERT_TRUE(made) << made.error().message;
  const std::string fingerprint = made->fingerprint;
  EXPECT_EQ(fingerprint.size(), 95u);
  EXPECT_FALSE(made->renewed);
  EXPECT_EQ(EnsureCertificate(files, {})->fingerprint, fingerprint) << "existing files are kept";
  Listen listen = Loopback();
  listen.tls = files;
  bool secure = false;
  const auto server = StartServer(
      [&](const Request& request, const auto& responder) {
        secure = request.secure;
        Response response;
        response.body.assign(3 << 20, 'x');
        responder->Send(std::move(response));
      },
      {},
      listen);
  const std::string url = UrlOf(*server, "https");
  const auto pinned = Fetch({url, "", fingerprint}, Get("/"));
  ASSERT_TRUE(pinned) << pinned.error().message;
  EXPECT_EQ(pinned->body.size(), size_t{3} << 20);
  EXPECT_TRUE(secure);
  EXPECT_TRUE(Fetch({url, files.certificate_pem, ""}, Get("/")));
  const auto unknown = Fetch({url}, Get("/"));
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("not trusted"), std::string::npos);
  std::string wrong = fingerprint;
  wrong[0] = wrong[0] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(Fetch({url, "", wrong}, Get("/")));
}

TEST(Server, RenewsItsOwnCertificateBeforeItEnds) {
  const TempFolder folder;
  const TlsFiles files{folder / "cert.pem", folder / "key.pem"};
  const auto ending = EnsureCertificate(files, {"127.0.0.1"}, /*days_valid=*/29);
  ASSERT_TRUE(ending);
  const auto renewed = EnsureCertificate(files, {"127.0.0.1"});
  ASSERT_TRUE(renewed) << renewed.error().message;
  EXPECT_TRUE(renewed->renewed);
  EXPECT_NE(renewed->fingerprint, ending->fingerprint);
  EXPECT_FALSE(EnsureCertificate(files, {})->renewed);
  Listen listen = Loopback();
  listen.tls = files;
  const auto server = StartServer(Echo, {}, listen);
  EXPECT_TRUE(Fetch({UrlOf(*server, "https"), "", renewed->fingerprint}, Get("/")));
}

TEST(Server, EndsATlsConnectionAfterItsLastAnswer) {
  const TempFolder folder;
  Listen listen = Loopback();
  listen.tls = TlsFiles{folder / "cert.pem", folder / "key.pem"};
  const auto made = EnsureCertificate(*listen.tls, {"127.0.0.1"});
  ASSERT_TRUE(made);
  const auto server = StartServer(Echo, {}, listen);
  auto client = Client::Create({UrlOf(*server, "https"), "", made->fingerprint});
  // Each of these closes its connection, so that the client has to come anew.
  for (const char* target : {"//", "/a", "/%", "/b"}) {
    Request request = Get(target);
    request.headers.Add("Connection", "close");
    const auto response = (*client)->Send(request, kSoon);
    ASSERT_TRUE(response) << target << response.error().message;
  }
  // Plain HTTP on a TLS port is hung up on.
  RawSocket plain(server->Ports()[0]);
  plain.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(plain.ReadToEnd().find("HTTP"), std::string::npos);
}

TEST(Server, LeavesNoSocketToProgramsThatAreStarted) {
  const TempFolder folder;
  Listen listen;
  listen.unix_path = folder / "api.sock";
  const auto server = Server::Create({Loopback(), listen}, {}, Echo);
  ASSERT_TRUE(server);
  RawSocket socket((*server)->Ports()[0]);
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  socket.ReadUntil("GET / ");
  int sockets = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename().string());
    std::error_code gone;
    const auto what = std::filesystem::read_symlink(entry.path(), gone);
    if (fd < 3 || gone || !what.string().starts_with("socket:")) continue;
    ++sockets;
    EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << fd;
  }
  EXPECT_GE(sockets, 4);
}

TEST(Server, SaysWhichCertificateItCannotRead) {
  Listen listen = Loopback();
  listen.tls = TlsFiles{"/nowhere/cert.pem", "/nowhere/key.pem"};
  const auto server = Server::Create({listen}, {}, Echo);
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code, Code::kFailedPrecondition);
  EXPECT_NE(server.error().message.find("/nowhere/cert.pem"), std::string::npos);
  const auto made = EnsureCertificate({"/nowhere/cert.pem", "/nowhere/key.pem"}, {});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::kUnavailable);
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  const auto server = StartServer(Echo);
  RawSocket socket(server->Ports()[0]);
  std::string burst;
  for (int i = 0; i < 20; ++i) {
    burst += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  }
  burst += "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  socket.Send(burst);
  const std::string all = socket.ReadToEnd();
  size_t at = 0;
  for (int i = 0; i < 20; ++i) {
    at = all.find("GET /" + std::to_string(i) + " ", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_NE(all.find("GET /last ", at), std::string::npos);
}

struct BadRequest {
  const char* name;
  std::string bytes;
  const char* status;
};

TEST(Server, RefusesBadRequestsWithAProblem) {
  ServerOptions options;
  options.body_bytes_max = 1000;
  options.header_bytes_max = 4096;
  const auto server = StartServer(Echo, options);
  const std::string head = " HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::vector<BadRequest> cases = {
      {"dots", "GET /a/../b" + head, "400"},
      {"encoded dots", "GET /%2e%2e/b" + head, "400"},
      {"encoded slash", "GET /a%2fb" + head, "400"},
      {"NUL", "GET /a%00" + head, "400"},
      {"half escape", "GET /a%f" + head, "400"},
      {"not UTF-8", "GET /%ff" + head, "400"},
      {"empty segment", "GET //etc" + head, "400"},
      {"no slash", "GET etc" + head, "400"},
      {"no host", "GET / HTTP/1.1\r\n\r\n", "400"},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
      {"garbage", "\x16\x03\x01 hello\r\n\r\n", "400"},
      {"two lengths",
       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
       "400"},
      {"length and chunks",
       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
       "400"},
      {"huge head",
       "GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(8000, 'a') + "\r\n\r\n",
       "431"},
      {"huge body by length",
       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
       "413"},
      {"huge body by chunks",
       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
           std::string(2000, 'a') + "\r\n0\r\n\r\n",
       "413"},
  };
  for (const BadRequest& bad : cases) {
    RawSocket socket(server->Ports()[0]);
    socket.Send(bad.bytes);
    const std::string answer = socket.ReadToEnd();
    EXPECT_EQ(answer.substr(0, 12), std::string("HTTP/1.1 ") + bad.status) << bad.name << answer;
    EXPECT_NE(answer.find("application/problem+json"), std::string::npos) << bad.name;
    EXPECT_NE(answer.find("X-Request-Id"), std::string::npos) << bad.name;
  }
  EXPECT_TRUE(Fetch({UrlOf(*server)}, Get("/"))) << "the server lives on";
}

TEST(Server, EndsASlowRequestWith408) {
  ServerOptions options;
  options.request_time_max = milliseconds(150);
  const auto server = StartServer(Echo, options);
  RawSocket socket(server->Ports()[0]);
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
  EXPECT_EQ(socket.ReadToEnd().substr(0, 12), "HTTP/1.1 408");
}

TEST(Server, ClosesAnIdleConnection) {
  ServerOptions options;
  options.idle_time_max = milliseconds(100);
  const auto server = StartServer(Echo, options);
  RawSocket socket(server->Ports()[0]);
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(socket.ReadToEnd().substr(0, 15), "HTTP/1.1 200 OK");
}

TEST(Server, AnswersAPeerThatClosedItsHalf) {
  const auto server = StartServer(Echo);
  RawSocket socket(server->Ports()[0]);
  socket.Send("GET /half HTTP/1.1\r\nHost: x\r\n\r\n");
  socket.ShutdownSend();
  EXPECT_NE(socket.ReadToEnd().find("GET /half"), std::string::npos);
}

TEST(Server, ContinuesWhenAskedTo) {
  const auto server = StartServer(Echo);
  RawSocket socket(server->Ports()[0]);
  socket.Send(
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
      "Connection: close\r\n\r\n");
  EXPECT_EQ(socket.ReadUntil("\r\n\r\n").substr(0, 12), "HTTP/1.1 100");
  socket.Send("hi");
  EXPECT_NE(socket.ReadToEnd().find("POST / hi"), std::string::npos);
}

TEST(Server, SendsHeadWithoutBodyAndNothingFor204) {
  const auto server = StartServer([](const Request& request, const auto& responder) {
    Response response;
    response.status = request.path == "/none" ? 204 : 200;
    response.body = request.path == "/none" ? "" : "12345";
    responder->Send(std::move(response));
  });
  RawSocket socket(server->Ports()[0]);
  socket.Send(
      "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n"
      "Connection: close\r\n\r\n");
  const std::string all = socket.ReadToEnd();
  EXPECT_NE(all.find("Content-Length: 5"), std::string::npos);
  EXPECT_EQ(all.find("12345"), std::string::npos);
  EXPECT_NE(all.find("HTTP/1.1 204"), std::string::npos);
}

TEST(Server, BreaksNoHeadWithAHandlersLineBreak) {
  const auto server = StartServer([](const Request&, const auto& responder) {
    Response response;
    response.headers.Add("X-Text", "a\r\nSet-Cookie: evil=1");
    responder->Send(std::move(response));
  });
  const auto response = Fetch({UrlOf(*server)}, Get("/"));
  ASSERT_TRUE(response);
  EXPECT_FALSE(response->headers.Has("Set-Cookie"));
}

TEST(Server, Answers500ForAHandlerThatForgetsOrThrows) {
  const auto server = StartServer([](const Request& request, const auto&) {
    if (request.path == "/throw") throw std::runtime_error("broken");
  });
  for (const char* path : {"/throw", "/forget"}) {
    const auto response = Fetch({UrlOf(*server)}, Get(path));
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 500);
  }
}

TEST(Server, AnswersFromAnotherThread) {
  std::unique_ptr<Server> server;
  server = StartServer([&](const Request& request, std::shared_ptr<Responder> responder) {
    EXPECT_TRUE(server->RunBlocking([request, responder] { Echo(request, responder); }));
  });
  const auto response = Fetch({UrlOf(*server)}, Get("/later"));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "GET /later ");
}

TEST(Server, RefusesBlockingWorkPastItsQueue) {
  const auto server = StartServer(Echo);
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  bool full = false;
  for (int i = 0; i < 1000 && !full; ++i) {
    full = !server->RunBlocking([released] { released.wait(); });
  }
  EXPECT_TRUE(full);
  release.set_value();
}

TEST(Server, TicksUntilItIsDestroyed) {
  Guarded<int> ticks;
  {
    const auto server = StartServer(Echo);
    server->Every(milliseconds(1), [&] { ticks.Change([](int& count) { ++count; }); });
    EXPECT_TRUE(ticks.WaitFor(kSoon, [](int count) { return count >= 3; }));
  }
}

TEST(Server, LimitsConnectionsPerAddress) {
  ServerOptions options;
  options.connections_per_address_max = 2;
  const auto server = StartServer(Echo, options);
  const std::string request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  auto first = std::make_unique<RawSocket>(server->Ports()[0]);
  RawSocket second(server->Ports()[0]);
  first->Send(request);
  second.Send(request);
  first->ReadUntil("GET / ");
  second.ReadUntil("GET / ");
  RawSocket third(server->Ports()[0]);
  third.Send(request);
  EXPECT_EQ(third.ReadToEnd(), "");
  first.reset();
  // The place is free again once the server has noticed.
  bool admitted = false;
  for (int i = 0; i < 1000 && !admitted; ++i) {
    RawSocket next(server->Ports()[0]);
    next.Send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    admitted = !next.ReadToEnd().empty();
  }
  EXPECT_TRUE(admitted);
}

TEST(Stream, DeliversPiecesAndItsEnd) {
  const auto server = StartServer([](const Request&, const auto& responder) {
    Response head;
    head.headers.Add("Content-Type", "text/event-stream");
    const auto stream = responder->Stream(std::move(head));
    for (int i = 0; i < 3; ++i) {
      stream->Write(std::make_shared<const std::string>("data: " + std::to_string(i) + "\n\n"));
    }
    stream->Write(std::make_shared<const std::string>(100'000, 'z'));
    stream->Close();
  });
  auto client = Client::Create({UrlOf(*server)});
  std::string all;
  const auto streamed = (*client)->Stream(Get("/events"), [&](std::string_view piece) {
    all.append(piece);
    return true;
  });
  ASSERT_TRUE(streamed) << streamed.error().message;
  EXPECT_EQ(all, "data: 0\n\ndata: 1\n\ndata: 2\n\n" + std::string(100'000, 'z'));
}

TEST(Stream, TellsWhenThePeerGoesAway) {
  std::shared_ptr<ResponseStream> stream;
  Guarded<bool> closed;
  std::promise<void> started;
  const auto server = StartServer([&](const Request&, const auto& responder) {
    stream = responder->Stream(Response{});
    stream->OnClose([&] { closed.Change([](bool& value) { value = true; }); });
    started.set_value();
  });
  {
    RawSocket socket(server->Ports()[0]);
    socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    started.get_future().wait();
    socket.ReadUntil("\r\n\r\n");
  }
  EXPECT_TRUE(closed.WaitFor(kSoon, [](bool value) { return value; }));
  EXPECT_FALSE(stream->Write(std::make_shared<const std::string>("late")));
}

TEST(Stream, CutsASlowReaderOff) {
  std::promise<std::shared_ptr<ResponseStream>> opened;
  Guarded<bool> closed;
  ServerOptions options;
  options.stream_queue_bytes_max = 1 << 20;
  const auto server = StartServer(
      [&](const Request&, const auto& responder) {
        const auto stream = responder->Stream(Response{});
        stream->OnClose([&] { closed.Change([](bool& value) { value = true; }); });
        opened.set_value(stream);
      },
      options);
  RawSocket socket(server->Ports()[0]);
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto stream = opened.get_future().get();
  const auto piece = std::make_shared<const std::string>(64 * 1024, 'x');
  int accepted = 0;
  while (stream->Write(piece)) {
    ASSERT_LT(++accepted, 100'000);
  }
  EXPECT_TRUE(stream->closed());
  EXPECT_TRUE(closed.WaitFor(kSoon, [](bool value) { return value; }));
}

TEST(Stream, EndsWhenTheServerStops) {
  Guarded<bool> closed;
  std::shared_ptr<ResponseStream> stream;
  std::promise<void> started;
  auto server = StartServer([&](const Request&, const auto& responder) {
    stream = responder->Stream(Response{});
    stream->OnClose([&] { closed.Change([](bool& value) { value = true; }); });
    started.set_value();
  });
  RawSocket socket(server->Ports()[0]);
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  started.get_future().wait();
  server.reset();
  EXPECT_TRUE(closed.WaitFor(kSoon, [](bool value) { return value; }));
  EXPECT_FALSE(stream->Write(std::make_shared<const std::string>("late")));
}

}  // namespace
}  // namespace sluice::net
