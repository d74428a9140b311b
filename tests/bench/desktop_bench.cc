// SPDX-License-Identifier: Apache-2.0
// From the POST to the first painted frame at a WebSocket client, through a real `sluice up` with
// simulated cards: the rows of ./dev bench desktop. What is measured is our own path and the X
// server, not a GPU.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/core.h>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <signal.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/check.h"
#include "net/client.h"

namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;
namespace fs = std::filesystem;
namespace net = sluice::net;
using std::chrono::milliseconds;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

// Runs `work` in a process of its own, which may end as it likes. Returns whether it ended well; a
// signal to this process ends it.
template <typename F>
bool InChild(F work) {
  const pid_t pid = fork();
  if (pid == 0) {
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    work();
    std::exit(0);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) kill(pid, SIGTERM);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// A `sluice up` of this bench's own: private state folder, kernel-picked port, ended at the end.
class Server {
 public:
  Server() {
    std::array<char, 32> name{"/tmp/sluice-bench-XXXXXX"};
    SLUICE_CHECK(mkdtemp(name.data()) != nullptr);
    folder_ = name.data();
    pid_ = fork();
    if (pid_ == 0) {
      setpgid(0, 0);  // A Ctrl-C is for the bench, which still needs us to clear up.
      const std::string log = folder_ + "/up.log";
      const int out = open(log.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
      dup2(out, 1);
      dup2(out, 2);
      const std::string program = std::string(SLUICE_BUILD_DIR) + "/bin/sluice";
      const std::string state = folder_ + "/state";
      execl(program.c_str(),
            "sluice",
            "up",
            "--state",
            state.c_str(),
            "--port",
            "0",
            "--simulate",
            "4x24GiB",
            nullptr);
      _exit(127);
    }
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  net::Endpoint endpoint() const { return {.url = "unix:" + folder_ + "/state/api.sock"}; }

  void WaitUntilReady() const {
    for (int i = 0; i < 600; ++i) {
      auto client = net::Client::Create(endpoint());
      if (client) {
        net::Request request;
        request.method = "GET";
        request.target = "/readyz";
        const auto answer = (*client)->Send(request, milliseconds(1000));
        if (answer && answer->status == 200) return;
      }
      std::this_thread::sleep_for(milliseconds(50));
    }
    std::ifstream log(folder_ + "/up.log");
    std::cerr << log.rdbuf();
    std::cerr << "sluice up did not become ready\n";
    std::exit(1);
  }

 private:
  std::string folder_;
  pid_t pid_ = 0;
};

class Api {
 public:
  explicit Api(const net::Endpoint& endpoint) : client_(*net::Client::Create(endpoint)) {}

  json Call(const std::string& method, const std::string& target, const json& body = nullptr) {
    return Parse(method, target, Send(method, target, body, ""));
  }

  // With the version of the object as it is now; a version that moved on meanwhile is asked again.
  void Remove(const std::string& path, const std::string& query) {
    for (;;) {
      const net::Response now = Send("GET", path, nullptr, "");
      const std::string version(now.headers.Get("ETag"));
      const net::Response answer = Send("DELETE", path + query, nullptr, version);
      if (answer.status == 412) continue;
      Parse("DELETE", path, answer);
      return;
    }
  }

  std::string Create(const std::string& name) {
    return Call("POST",
                "/v1/desktops",
                {{"name", name},
                 {"template_id", "compile"},
                 {"kind", "container"},
                 {"gpu", {{"memory_bytes", 1LL << 30}}},
                 {"idle", {{"stop_after_s", 0}, {"gpu_keeps_alive", true}}}})["id"];
  }

  json Desktop(const std::string& id) { return Call("GET", "/v1/desktops/" + id); }

  void WaitForState(const std::string& id, const std::set<std::string>& states) {
    const auto began = Clock::now();
    while (Seconds(began) < 60) {
      const json desktop = Desktop(id);
      if (states.count(desktop["state"]) != 0) return;
      if (desktop["state"] == "failed") {
        std::cerr << desktop.dump(2) << '\n';
        std::exit(1);
      }
      std::this_thread::sleep_for(milliseconds(5));
    }
    std::cerr << Desktop(id).dump(2) << '\n';
    std::exit(1);
  }

 private:
  net::Response Send(const std::string& method,
                     const std::string& target,
                     const json& body,
                     const std::string& version) {
    net::Request request;
    request.method = method;
    request.target = target;
    if (!body.is_null()) {
      request.body = body.dump();
      request.headers.Add("Content-Type", "application/json");
    }
    if (method == "POST") {
      request.headers.Add("Idempotency-Key", fmt::format("bench-{}-{}", getpid(), NextCall()));
    }
    if (!version.empty()) request.headers.Add("If-Match", version);
    const auto answer = client_->Send(request, milliseconds(30'000));
    if (!answer) {
      std::cerr << method << ' ' << target << ": " << ToString(answer.error()) << '\n';
      std::exit(1);
    }
    return *answer;
  }

  static json Parse(const std::string& method,
                    const std::string& target,
                    const net::Response& answer) {
    if (answer.status >= 400) {
      std::cerr << method << ' ' << target << ": " << answer.body << '\n';
      std::exit(1);
    }
    return answer.body.empty() ? json() : json::parse(answer.body);
  }

  // Of all clients: a key is used once.
  static int NextCall() {
    static std::atomic<int> calls{0};
    return calls.fetch_add(1);
  }

  std::unique_ptr<net::Client> client_;
};

// Speaks just enough RFB to see a first frame: security None, 32-bit raw pixels.
class Viewer {
 public:
  Viewer(const net::Endpoint& endpoint, const std::string& ticket) {
    net::Headers headers;
    headers.Add("Sec-WebSocket-Protocol", "sluice.stream.v1");
    auto socket = net::WebSocketClient::Connect(endpoint, "/v1/stream", headers);
    if (!socket) {
      std::cerr << ToString(socket.error()) << '\n';
      std::exit(1);
    }
    socket_ = std::move(*socket);
    Must(socket_->Send(net::MessageType::kText,
                       json{{"ticket", ticket}, {"take_over", true}}.dump()));
    const auto ready = socket_->Receive(milliseconds(10'000));
    SLUICE_CHECK(ready && ready->bytes.find("\"ready\"") != std::string::npos);
    Read(12);
    Send("RFB 003.008\n");
    const std::string types = Read(1);
    Read(static_cast<unsigned char>(types[0]));
    Send(std::string(1, '\1'));
    Read(4);
    Send(std::string(1, '\1'));
    const std::string init = Read(24);
    width_ = U16(init, 0);
    height_ = U16(init, 2);
    Read(static_cast<size_t>(U16(init, 20)) << 16 | U16(init, 22));
    Send(std::string("\2\0\0\1\0\0\0\0", 8));
  }

  // Asks for the whole screen until it shows 20 colours.
  void WaitForPaint() {
    for (;;) {
      std::string request("\3\0\0\0\0\0", 6);
      Append16(request, width_);
      Append16(request, height_);
      Send(request);
      std::set<uint32_t> colours;
      const std::string head = ReadUpdateHead();
      for (int i = U16(head, 2); i > 0; --i) {
        const std::string rectangle = Read(12);
        const size_t pixels = static_cast<size_t>(U16(rectangle, 4)) * U16(rectangle, 6);
        const std::string data = Read(pixels * 4);
        for (size_t p = 0; p < pixels; p += 7) {
          uint32_t colour = 0;
          std::memcpy(&colour, data.data() + p * 4, 4);
          colours.insert(colour & 0xffffffU);
        }
      }
      if (colours.size() >= 20) return;
      std::this_thread::sleep_for(milliseconds(5));
    }
  }

 private:
  static void Must(const sluice::Result<void>& result) {
    if (!result) {
      std::cerr << ToString(result.error()) << '\n';
      std::exit(1);
    }
  }
  static uint16_t U16(const std::string& bytes, size_t at) {
    return static_cast<uint16_t>(static_cast<unsigned char>(bytes[at]) << 8 |
                                 static_cast<unsigned char>(bytes[at + 1]));
  }
  static void Append16(std::string& bytes, int value) {
    bytes += static_cast<char>(value >> 8);
    bytes += static_cast<char>(value & 255);
  }

  std::string ReadUpdateHead() {
    for (;;) {
      const std::string type = Read(1);
      if (type[0] == 0) return type + Read(3);
      if (type[0] == 2) continue;  // Bell.
      SLUICE_CHECK(type[0] == 3);  // Cut text.
      const std::string head = Read(7);
      Read(static_cast<size_t>(U16(head, 3)) << 16 | U16(head, 5));
    }
  }

  void Send(const std::string& bytes) { Must(socket_->Send(net::MessageType::kBinary, bytes)); }

  std::string Read(size_t count) {
    while (buffer_.size() < count) {
      auto message = socket_->Receive(milliseconds(20'000));
      if (!message) {
        std::cerr << ToString(message.error()) << '\n';
        std::exit(1);
      }
      if (message->type == net::MessageType::kBinary) buffer_ += message->bytes;
    }
    std::string taken = buffer_.substr(0, count);
    buffer_.erase(0, count);
    return taken;
  }

  std::unique_ptr<net::WebSocketClient> socket_;
  std::string buffer_;
  int width_ = 0;
  int height_ = 0;
};

double FirstFrame(const net::Endpoint& endpoint, const std::string& name, std::string& id) {
  Api api(endpoint);
  const auto began = Clock::now();
  id = api.Create(name);
  api.WaitForState(id, {"ready", "connected"});
  const json ticket = api.Call("POST", "/v1/desktops/" + id + "/tickets", {{"mode", "control"}});
  Viewer(endpoint, ticket["ticket"]).WaitForPaint();
  return Seconds(began);
}

void Delete(Api& api, const std::string& id) {
  api.Remove("/v1/desktops/" + id, "?keep_home=false");
  for (;;) {
    const json all = api.Call("GET", "/v1/desktops");
    const bool gone = std::none_of(
        all["items"].begin(), all["items"].end(), [&](const json& d) { return d["id"] == id; });
    if (gone) return;
    std::this_thread::sleep_for(milliseconds(20));
  }
}

struct TreeUse {
  double pss_mib = 0;
  double cpu_s = 0;
};

// Sums the process trees that belong to the desktops: every process whose environment or command
// line names the bench's own state folder is ours; the sandboxes are their descendants.
TreeUse Measure(const std::set<pid_t>& roots) {
  std::multimap<pid_t, pid_t> children;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    std::ifstream stat(entry.path() / "stat");
    std::string line;
    std::getline(stat, line);
    const size_t end = line.rfind(')');
    if (end == std::string::npos) continue;
    int parent = 0;
    char state = 0;
    if (std::sscanf(line.c_str() + end + 1, " %c %d", &state, &parent) == 2) {
      children.emplace(parent, pid);
    }
  }
  TreeUse use;
  std::vector<pid_t> todo(roots.begin(), roots.end());
  while (!todo.empty()) {
    const pid_t pid = todo.back();
    todo.pop_back();
    for (auto [it, end] = children.equal_range(pid); it != end; ++it) todo.push_back(it->second);
    std::ifstream smaps(fmt::format("/proc/{}/smaps_rollup", pid));
    for (std::string line; std::getline(smaps, line);) {
      long kib = 0;
      if (std::sscanf(line.c_str(), "Pss: %ld kB", &kib) == 1) {
        use.pss_mib += static_cast<double>(kib) / 1024.0;
      }
    }
    std::ifstream stat(fmt::format("/proc/{}/stat", pid));
    std::string line;
    std::getline(stat, line);
    const size_t end = line.rfind(')');
    unsigned long user = 0;
    unsigned long system = 0;
    if (end != std::string::npos &&
        std::sscanf(line.c_str() + end + 1,
                    " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                    &user,
                    &system) == 2) {
      use.cpu_s += static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
    }
  }
  return use;
}

// Supervisors are children of nobody of ours (they outlive the server), so they are found by the
// name of their program and the desktop's id on their command line.
std::set<pid_t> Supervisors(const std::vector<std::string>& ids) {
  std::set<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    std::ifstream file(entry.path() / "cmdline");
    const std::string line((std::istreambuf_iterator<char>(file)), {});
    if (line.find("supervise") == std::string::npos) continue;
    for (const std::string& id : ids) {
      if (line.find(id) != std::string::npos) found.insert(pid);
    }
  }
  return found;
}

double Percentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(p * static_cast<double>(values.size())))];
}

void Row(
    const char* name, double value, const char* unit, size_t n, const std::string& config = "") {
  std::cout << json{{"bench", "desktop"},
                    {"name", name},
                    {"value", value},
                    {"unit", unit},
                    {"n", n},
                    {"config", config},
                    {"peer", ""}}
                   .dump()
            << std::endl;
}

void Bench(const Server& server) {
  server.WaitUntilReady();
  Api api(server.endpoint());

  std::string id;
  FirstFrame(server.endpoint(), "warm-up", id);
  Delete(api, id);
  std::vector<double> warm;
  for (int i = 0; i < 10; ++i) {
    warm.push_back(FirstFrame(server.endpoint(), fmt::format("warm-{}", i), id));
    Delete(api, id);
  }
  Row("first_frame_warm_p50_s", Percentile(warm, 0.5), "s", warm.size(), "simulated card");
  Row("first_frame_warm_p95_s", Percentile(warm, 0.95), "s", warm.size(), "simulated card");

  constexpr int kTogether = 12;
  std::vector<std::string> ids(kTogether);
  std::vector<double> times(kTogether);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kTogether; ++i) {
    threads.emplace_back([&, i] {
      times[i] = FirstFrame(server.endpoint(), fmt::format("together-{}", i), ids[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  Row("twelve_at_once_last_s",
      *std::max_element(times.begin(), times.end()),
      "s",
      kTogether,
      "simulated card");

  std::this_thread::sleep_for(std::chrono::seconds(5));
  const std::set<pid_t> roots = Supervisors(ids);
  SLUICE_CHECK(roots.size() >= kTogether);
  const TreeUse before = Measure(roots);
  std::this_thread::sleep_for(std::chrono::seconds(20));
  const TreeUse after = Measure(roots);
  Row("idle_pss_mib", after.pss_mib / kTogether, "MiB", kTogether, "twelve running, whole tree");
  Row("idle_cpu_percent",
      (after.cpu_s - before.cpu_s) / 20.0 * 100.0 / kTogether,
      "%",
      kTogether,
      "over 20 s, no viewer");
}

void DeleteAll(const Server& server) {
  Api api(server.endpoint());
  const json all = api.Call("GET", "/v1/desktops?owner=all&limit=200");
  for (const json& desktop : all["items"]) Delete(api, desktop["id"]);
}

}  // namespace

int main() {
  // Interrupts the wait for the child and nothing else.
  struct sigaction interrupted {};
  interrupted.sa_handler = [](int) {};
  sigaction(SIGINT, &interrupted, nullptr);
  sigaction(SIGTERM, &interrupted, nullptr);
  const Server server;
  const bool done = InChild([&] { Bench(server); });
  const bool cleared = InChild([&] { DeleteAll(server); });
  return done && cleared ? 0 : 1;
}
