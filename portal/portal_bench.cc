// SPDX-License-Identifier: Apache-2.0
// What the portal alone costs: lists, a mix of requests, event streams and memory, with 1,000
// desktops in a SQLite store. Control and the agent are made up, so that neither is measured. The
// server is a process of its own, and "per core" means per second of that process's CPU time: the
// clients' own cost and whatever else the machine does stay out of it.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/core.h>
#include <fstream>
#include <functional>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/check.h"
#include "net/client.h"
#include "portal/internal/json_writer.h"
#include "portal/internal/sessions.h"
#include "portal/internal/testing/fakes.h"
#include "portal/portal.h"
#include "store/sqlite.h"

namespace sluice::portal {
namespace {

using std::chrono::steady_clock;

constexpr int kDesktops = 1'000;
constexpr int kLists = 400;
constexpr int kClients = 4;
constexpr auto kMixFor = std::chrono::seconds(6);
constexpr size_t kStreams = 500;
constexpr int kChanges = 20;
constexpr auto kPatience = std::chrono::milliseconds(10'000);
constexpr std::string_view kConfig = "1000 desktops, SQLite, loopback, no TLS";

// What the server process tells the clients through a pipe.
struct Hello {
  uint16_t port = 0;
  std::array<char, 160> token{};
  std::array<char, 64> desktop{};
};

void Report(std::string_view name, double value, std::string_view unit, int n, std::string config) {
  JsonWriter json;
  json.BeginObject().Field("bench", "portal").Field("name", name);
  json.Key("value").Raw(fmt::format("{:.3f}", value));
  json.Field("unit", unit).Field("n", n).Field("config", config).Key("peer").Null().EndObject();
  fmt::print("{}\n", json.text());
}

void Fill(store::Store& store, testing::FakeControl& control, testing::FakeAgent& agent) {
  const TimePoint now = SystemClock().Now();
  SystemRandom random;
  std::vector<store::Write> writes;
  Gpu gpu{.id = GpuId("GPU-1"), .node = NodeId("bench"), .model = "bench", .memory = GiB(80)};
  writes.push_back(store::Put(gpu, 0));
  for (int i = 0; i < kDesktops; ++i) {
    Desktop desktop;
    desktop.id = DesktopId(NewIdText("dsk", now, random));
    desktop.name = fmt::format("desktop {}", i);
    desktop.owner = UserId("usr_bench");
    desktop.template_id = TemplateId("compile");
    desktop.request.memory = GiB(8);
    desktop.state = i % 10 == 0 ? DesktopState::kReady : DesktopState::kStopped;
    desktop.reason = "As the bench wants it.";
    desktop.created_at = desktop.state_since = now;
    for (int stage = 0; stage < kLaunchStageCount; ++stage) {
      desktop.stages.push_back({static_cast<LaunchStage>(stage), now, now});
    }
    if (desktop.state == DesktopState::kReady) {
      Claim claim;
      claim.id = ClaimId(NewIdText("clm", now, random));
      claim.desktop = desktop.id;
      claim.user = desktop.owner;
      claim.phase = ClaimPhase::kCommitted;
      claim.reason = desktop.reason;
      claim.allocations = {{.gpu = gpu.id, .memory = GiB(8)}};
      writes.push_back(store::Put(claim, 0));
      desktop.claim = claim.id;
      desktop.ready_at = now;
      agent.SetUsage(claim.id, {.devices = {{.gpu = gpu.id, .limit = GiB(8), .used = GiB(1)}}});
    }
    writes.push_back(store::Put(desktop, 0));
  }
  const User user{
      .id = UserId("usr_bench"), .name = "bench", .role = Role::kAdmin, .created_at = now};
  writes.push_back(store::Put(user, 0));
  SLUICE_CHECK(store.Commit(writes).has_value());
  agent.SetCards({{gpu, {}}});
  control.SetOffers(
      {{.gpu_model = "bench", .largest_ever = GiB(80), .cards = 1, .answer = "full"}});
}

Hello MakeHello(store::Store& store, Random& random) {
  Hello hello;
  const SystemClock clock;
  Sessions sessions(store, clock, random);
  const auto token = sessions.NewToken();
  const TokenRecord record{.id = token.id,
                           .user = UserId("usr_bench"),
                           .name = "bench",
                           .secret_sha256 = token.secret_sha256,
                           .scopes = {"desktops:read", "desktops:write", "gpus:read", "admin"},
                           .created_at = clock.Now(),
                           .expires_at = clock.Now() + std::chrono::hours(1)};
  const store::Write write{store::Kind::kToken, record.id, 0, EncodeToken(record)};
  SLUICE_CHECK(store.Commit({&write, 1}).has_value());
  token.bearer.copy(hello.token.data(), hello.token.size() - 1);
  const auto first = store.List(store::Kind::kDesktop, "", 1);
  first->objects.front().id.copy(hello.desktop.data(), hello.desktop.size() - 1);
  return hello;
}

// The server process: serves until `until` is closed by the other side.
void Serve(const std::string& folder, int hello_to, int until) {
  auto store = store::OpenSqlite(folder + "/bench.db");
  SLUICE_CHECK(store.has_value());
  const SystemClock clock;
  SystemRandom random;
  testing::FakeControl control(**store);
  testing::FakeAgent agent;
  Fill(**store, control, agent);
  auto audit = AuditLog::Create(**store, clock);
  SLUICE_CHECK(audit.has_value());
  Options options;
  options.version = "bench";
  options.limits.streams_per_minute = 0;
  options.event_streams_per_user = kStreams;
  const auto portal = Portal::Create({.store = **store,
                                      .control = control,
                                      .agent = agent,
                                      .audit = **audit,
                                      .clock = clock,
                                      .random = random,
                                      .display = [](const DesktopId&) -> Result<std::string> {
                                        return Fail(Code::kFailedPrecondition, "no display");
                                      }},
                                     options);
  auto server = net::Server::Create({{.address = "127.0.0.1"}}, {}, portal->handler());
  SLUICE_CHECK(server.has_value());
  portal->Start(**server);
  Hello hello = MakeHello(**store, random);
  hello.port = (*server)->Ports().front();
  SLUICE_CHECK(write(hello_to, &hello, sizeof hello) == sizeof hello);
  char end = 0;
  (void)!read(until, &end, 1);
  server->reset();
}

class Load {
 public:
  explicit Load(const Hello& hello) : hello_(hello) {}

  std::unique_ptr<net::Client> Connect() const {
    auto client = net::Client::Create({.url = fmt::format("http://127.0.0.1:{}", hello_.port)});
    SLUICE_CHECK(client.has_value());
    return std::move(*client);
  }
  net::Request Make(const std::string& method, const std::string& target) const {
    net::Request request;
    request.method = method;
    request.target = target;
    request.headers.Set("Authorization", "Bearer " + std::string(hello_.token.data()));
    return request;
  }
  std::string desktop() const { return "/v1/desktops/" + std::string(hello_.desktop.data()); }
  uint16_t port() const { return hello_.port; }

 private:
  Hello hello_;
};

net::Response Send(net::Client& client, const net::Request& request) {
  auto response = client.Send(request, kPatience);
  SLUICE_CHECK(response.has_value() && response->status < 300);
  return std::move(*response);
}

void MeasureLists(const Load& load) {
  const auto client = load.Connect();
  std::vector<double> ms;
  for (int i = 0; i < kLists; ++i) {
    const auto since = steady_clock::now();
    (void)Send(*client, load.Make("GET", "/v1/desktops?limit=200"));
    ms.push_back(std::chrono::duration<double, std::milli>(steady_clock::now() - since).count());
  }
  std::ranges::sort(ms);
  Report("list_p95_ms",
         ms[ms.size() * 95 / 100],
         "ms",
         kLists,
         fmt::format("{}, pages of 200, p50 {:.2f} ms", kConfig, ms[ms.size() / 2]));
}

// User and system time of the process so far.
double CpuSeconds(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  text.erase(0, text.rfind(')') + 2);
  std::istringstream fields(text);
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// Of twenty requests: 9 look at one desktop, 4 at oneself, 2 at a page of 50, 2 at the cards, 2 at
// offers, and one changes something.
int64_t Mix(const Load& load, steady_clock::time_point end, int worker) {
  const auto client = load.Connect();
  int64_t done = 0;
  for (int i = worker; steady_clock::now() < end; ++i, ++done) {
    const int kind = i % 20;
    if (kind < 9) {
      (void)Send(*client, load.Make("GET", load.desktop()));
    } else if (kind < 13) {
      (void)Send(*client, load.Make("GET", "/v1/me"));
    } else if (kind < 15) {
      (void)Send(*client, load.Make("GET", "/v1/desktops"));
    } else if (kind < 17) {
      (void)Send(*client, load.Make("GET", "/v1/gpus"));
    } else if (kind < 19) {
      (void)Send(*client, load.Make("GET", "/v1/offers?memory_bytes=8589934592"));
    } else {
      net::Request message = load.Make("POST", load.desktop() + "/messages");
      message.headers.Set("Content-Type", "application/json");
      message.body = R"({"text":"hello"})";
      (void)Send(*client, message);
    }
  }
  return done;
}

void MeasureMix(const Load& load, pid_t server) {
  const double before = CpuSeconds(server);
  const auto since = steady_clock::now();
  const auto end = since + kMixFor;
  std::vector<int64_t> done(kClients);
  std::vector<std::thread> threads;
  for (int worker = 0; worker < kClients; ++worker) {
    threads.emplace_back(
        [&, worker] { done[static_cast<size_t>(worker)] = Mix(load, end, 5 * worker); });
  }
  for (std::thread& thread : threads) thread.join();
  const double cpu = CpuSeconds(server) - before;
  const double wall = std::chrono::duration<double>(steady_clock::now() - since).count();
  int64_t total = 0;
  for (const int64_t count : done) total += count;
  Report("requests_per_s_per_core",
         static_cast<double>(total) / cpu,
         "1/s",
         static_cast<int>(total),
         fmt::format("{}, {} clients, 5 % writes, {:.0f}/s of wall time, server used {:.2f} cores",
                     kConfig,
                     kClients,
                     static_cast<double>(total) / wall,
                     cpu / wall));
}

// One reader of events without a thread of its own.
struct Stream {
  int fd = -1;
  std::string text;
  bool open = false;  // The server said hello: every later change reaches it.
  int seen = 0;       // "event: desktop" so far.
};

Stream Open(const Load& load) {
  Stream stream{.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(load.port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  SLUICE_CHECK(connect(stream.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const net::Request request = load.Make("GET", "/v1/events?topics=desktops");
  const std::string head =
      fmt::format("GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: {}\r\n\r\n",
                  request.target,
                  load.port(),
                  request.headers.Get("Authorization"));
  SLUICE_CHECK(write(stream.fd, head.data(), head.size()) == static_cast<ssize_t>(head.size()));
  return stream;
}

// Counts whole lines "event: desktop"; what follows the last line end is kept for the next time.
void Take(Stream& stream) {
  std::array<char, 65'536> buffer;
  const ssize_t got = recv(stream.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got <= 0) return;
  stream.text.append(buffer.data(), static_cast<size_t>(got));
  constexpr std::string_view kHello = "retry: ";
  constexpr std::string_view kMark = "event: desktop\n";
  stream.open = stream.open || stream.text.find(kHello) != std::string::npos;
  for (size_t at = stream.text.find(kMark); at != std::string::npos; at = stream.text.find(kMark)) {
    ++stream.seen;
    stream.text.erase(0, at + kMark.size());
  }
  const size_t line = stream.text.rfind('\n');
  if (line != std::string::npos) stream.text.erase(0, line + 1);
}

// Until `done` holds for every stream, or patience ends. Returns for how many it does.
size_t AwaitAll(std::vector<Stream>& streams, const std::function<bool(const Stream&)>& done) {
  const auto end = steady_clock::now() + kPatience;
  const auto count = [&] { return static_cast<size_t>(std::ranges::count_if(streams, done)); };
  while (count() < streams.size() && steady_clock::now() < end) {
    std::vector<pollfd> polled;
    for (const Stream& stream : streams) polled.push_back({stream.fd, POLLIN, 0});
    (void)poll(polled.data(), polled.size(), 100);
    for (size_t i = 0; i < streams.size(); ++i) {
      if ((polled[i].revents & POLLIN) != 0) Take(streams[i]);
    }
  }
  return count();
}

void MeasureStreams(const Load& load) {
  std::vector<Stream> streams;
  for (size_t i = 0; i < kStreams; ++i) streams.push_back(Open(load));
  // A reader that subscribes after a change rightly never sees it: first everybody is there.
  size_t reached = AwaitAll(streams, [](const Stream& stream) { return stream.open; });
  const auto client = load.Connect();
  net::Request message = load.Make("POST", load.desktop() + "/messages");
  message.headers.Set("Content-Type", "application/json");
  std::vector<double> ms;
  for (int i = 0; reached == kStreams && i < kChanges; ++i) {
    message.body = fmt::format("{{\"text\":\"change {}\"}}", i);
    const auto since = steady_clock::now();
    (void)Send(*client, message);
    reached = AwaitAll(streams, [i](const Stream& stream) { return stream.seen > i; });
    ms.push_back(std::chrono::duration<double, std::milli>(steady_clock::now() - since).count());
  }
  for (const Stream& stream : streams) close(stream.fd);
  std::ranges::sort(ms);
  Report("sse_clients",
         static_cast<double>(reached),
         "clients",
         static_cast<int>(ms.size()),
         fmt::format("{}, from POST to the last of {} readers p50 {:.1f} ms, max {:.1f} ms",
                     kConfig,
                     kStreams,
                     ms.empty() ? 0 : ms[ms.size() / 2],
                     ms.empty() ? 0 : ms.back()));
}

void MeasureMemory(pid_t server) {
  std::ifstream file(fmt::format("/proc/{}/status", server));
  double now = 0;
  double peak = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmRSS:")) now = std::stod(line.substr(6)) / 1'024;
    if (line.starts_with("VmHWM:")) peak = std::stod(line.substr(6)) / 1'024;
  }
  Report(
      "rss_mib", peak, "MiB", 1, fmt::format("{}, the peak; {:.0f} MiB at the end", kConfig, now));
}

int Run() {
  const rlimit files{.rlim_cur = 4'096, .rlim_max = 4'096};
  (void)setrlimit(RLIMIT_NOFILE, &files);
  std::string folder = (std::filesystem::temp_directory_path() / "portal-bench-XXXXXX").string();
  SLUICE_CHECK(mkdtemp(folder.data()) != nullptr);
  std::array<int, 2> hello_pipe{};
  std::array<int, 2> end_pipe{};
  SLUICE_CHECK(pipe2(hello_pipe.data(), O_CLOEXEC) == 0 && pipe2(end_pipe.data(), O_CLOEXEC) == 0);
  const pid_t server = fork();
  if (server == 0) {
    close(end_pipe[1]);
    Serve(folder, hello_pipe[1], end_pipe[0]);
    _exit(0);
  }
  close(hello_pipe[1]);
  Hello hello;
  SLUICE_CHECK(read(hello_pipe[0], &hello, sizeof hello) == sizeof hello);
  const Load load(hello);
  MeasureLists(load);
  MeasureMix(load, server);
  MeasureStreams(load);
  MeasureMemory(server);
  close(end_pipe[1]);
  waitpid(server, nullptr, 0);
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace sluice::portal

int main() {
  return sluice::portal::Run();
}
