// SPDX-License-Identifier: Apache-2.0
// How long a key press takes until changed pixels are back: through the portal, and beside it over
// the display's own socket. Both connections are open at once and are measured in turn, so that
// load of the machine hits both alike.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "net/client.h"
#include "portal/stream/internal/rfb.h"
#include "portal/stream/testing/one_desktop.h"
#include "portal/stream/testing/real_display.h"
#include "portal/stream/testing/rfb_bytes.h"
#include "portal/stream/testing/rfb_viewer.h"

namespace sluice::stream {
namespace {

using std::chrono::steady_clock;
using testing::RfbViewer;
namespace encoding = internal::encoding;

constexpr int kPresses = 400;
constexpr int kLine = 40;  // Presses between two Returns: a terminal takes 4,095 in one line.
constexpr auto kPatience = std::chrono::seconds(10);
constexpr auto kQuiet = std::chrono::milliseconds(25);
constexpr char kConfig[] = "Xtigervnc 1280x800, xterm, tight, loopback, no TLS";

// One way to the display. `wait` is how long receiving may take; it returns empty when it is over.
struct Way {
  std::chrono::milliseconds wait{10'000};
  std::unique_ptr<RfbViewer> viewer;
  std::vector<double> echo_ms;

  // Requests updates until nothing changes any more, and leaves one request open.
  void Settle() {
    wait = kQuiet;
    while (viewer->AwaitUpdate()) viewer->Request(true);
    wait = kPatience;
  }
};

class DirectSocket {
 public:
  explicit DirectSocket(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    SLUICE_CHECK(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~DirectSocket() { close(fd_); }
  DirectSocket(const DirectSocket&) = delete;
  DirectSocket& operator=(const DirectSocket&) = delete;

  bool Send(const std::string& bytes) const {
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  std::string Receive(std::chrono::milliseconds at_most) const {
    pollfd one{fd_, POLLIN, 0};
    if (poll(&one, 1, static_cast<int>(at_most.count())) <= 0) return {};
    std::string bytes(64 * 1024, '\0');
    const ssize_t count = recv(fd_, bytes.data(), bytes.size(), 0);
    bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return bytes;
  }

 private:
  int fd_;
};

void StartViewer(Way& way, RfbViewer::Transport transport) {
  way.viewer = std::make_unique<RfbViewer>(std::move(transport));
  SLUICE_CHECK(way.viewer->Start({encoding::kCopyRect,
                                  encoding::kTight,
                                  encoding::kLastRect,
                                  encoding::kExtendedDesktopSize,
                                  -32 + 6,
                                  -256 + 2}));
  way.viewer->Request(false);
  SLUICE_CHECK(way.viewer->AwaitUpdate());
  way.viewer->Request(true);
}

void Press(Way& way, Way& other) {
  const auto start = steady_clock::now();
  way.viewer->Key('a');
  SLUICE_CHECK(way.viewer->AwaitUpdate());
  way.echo_ms.push_back(
      std::chrono::duration<double, std::milli>(steady_clock::now() - start).count());
  way.viewer->Request(true);
  way.Settle();
  other.Settle();
}

// Points at the terminal, so that it has the keyboard, and types until it answers each time.
void WarmUp(Way& way, Way& other) {
  way.viewer->Send(testing::B({5, 0}) + testing::U16(100) + testing::U16(100));
  const auto deadline = steady_clock::now() + kPatience;
  for (int answered = 0; answered < 5;) {
    SLUICE_CHECK(steady_clock::now() < deadline);
    way.Settle();
    other.Settle();
    way.wait = std::chrono::milliseconds(200);
    way.viewer->Key('a');
    answered = way.viewer->AwaitUpdate() ? answered + 1 : 0;
    if (answered > 0) way.viewer->Request(true);
  }
  way.Settle();
  other.Settle();
}

double Percentile(std::vector<double> values, double fraction) {
  std::sort(values.begin(), values.end());
  const auto last = static_cast<double>(values.size() - 1);
  return values[static_cast<size_t>(fraction * last + 0.5)];
}

void Print(const char* name, double value, size_t n, const char* peer) {
  fmt::print(
      R"({{"bench":"stream","name":"{}","value":{:.2f},"unit":"ms","n":{},"config":"{}","peer":"{}"}})"
      "\n",
      name,
      value,
      n,
      kConfig,
      peer);
}

void Measure(const std::string& folder) {
  auto display = testing::RealDisplay::Start(folder, "1280x800");
  if (!display) {
    fmt::print(stderr, "bench stream: {}\n", display.error().message);
    std::exit(1);
  }
  SLUICE_CHECK((*display)->Run({"xterm", "-geometry", "100x40+0+0", "-e", "cat"}).has_value());
  testing::OneDesktop desktop((*display)->socket());
  net::Headers headers;
  headers.Add("Sec-WebSocket-Protocol", std::string(kSubprotocol));
  auto socket = net::WebSocketClient::Connect(desktop.endpoint(), "/v1/stream", headers);
  SLUICE_CHECK(socket.has_value());
  SLUICE_CHECK((*socket)->Send(net::MessageType::kText, R"({"ticket":"x"})").has_value());
  SLUICE_CHECK((*socket)->Receive(kPatience).has_value());

  Way portal;
  StartViewer(portal,
              {[&](const std::string& bytes) {
                 return (*socket)->Send(net::MessageType::kBinary, bytes).has_value();
               },
               [&] {
                 auto message = (*socket)->Receive(portal.wait);
                 return message ? message->bytes : std::string();
               }});
  const DirectSocket raw((*display)->socket());
  Way direct;
  StartViewer(direct,
              {[&](const std::string& bytes) { return raw.Send(bytes); },
               [&] { return raw.Receive(direct.wait); }});
  WarmUp(portal, direct);

  for (int i = 0; i < kPresses; ++i) {
    Press(portal, direct);
    Press(direct, portal);
    if (i % kLine == kLine - 1) {
      portal.viewer->Key(0xff0d);
      portal.Settle();
      direct.Settle();
    }
  }
  const double portal_p50 = Percentile(portal.echo_ms, 0.5);
  const double direct_p50 = Percentile(direct.echo_ms, 0.5);
  Print("echo_p50_ms", portal_p50, kPresses, "");
  Print("echo_p95_ms", Percentile(portal.echo_ms, 0.95), kPresses, "");
  Print("echo_p50_ms", direct_p50, kPresses, "direct socket");
  Print("echo_p95_ms", Percentile(direct.echo_ms, 0.95), kPresses, "direct socket");
  Print("portal_added_p50_ms", portal_p50 - direct_p50, kPresses, "");
}

}  // namespace
}  // namespace sluice::stream

int main() {
  std::string pattern = (std::filesystem::temp_directory_path() / "sluice-bench-XXXXXX").string();
  const std::string folder = mkdtemp(pattern.data());
  sluice::stream::Measure(folder);
  std::filesystem::remove_all(folder);
  return 0;
}
