// SPDX-License-Identifier: Apache-2.0
#include "net/server.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/core.h>
#include <future>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include "net/internal/blocking_pool.h"
#include "net/internal/byte_stream.h"
#include "net/internal/connection.h"
#include "net/internal/io_thread.h"
#include "net/internal/listener.h"
#include "net/internal/tls.h"
#include "net/internal/transport.h"

namespace sluice::net {
namespace {

using internal::Bound;
using internal::Channel;
using internal::IoThread;
using internal::Listener;

constexpr int kBlockingThreads = 2;
constexpr size_t kBlockingQueueMax = 64;
constexpr size_t kByteStreamReadBytes = 64 * 1024;

// Often enough for the shortest timeout to be kept within a quarter of itself.
std::chrono::milliseconds SweepEvery(const ServerOptions& options) {
  const auto shortest = std::min({options.request_time_max,
                                  options.idle_time_max,
                                  options.ping_every,
                                  options.write_stall_max});
  return std::clamp(shortest / 4, std::chrono::milliseconds(5), std::chrono::milliseconds(1'000));
}

struct Bind {
  Bound bound;
  std::shared_ptr<boost::asio::ssl::context> tls;
  std::string unix_path;
};

class AsioServer final : public Server {
 public:
  AsioServer(const ServerOptions& options, Handler handler)
      : options_(std::make_shared<const ServerOptions>(options)),
        handler_(std::make_shared<const Handler>(std::move(handler))),
        admission_(std::make_shared<internal::Admission>(options.connections_max,
                                                         options.connections_per_address_max)),
        pool_(std::make_unique<internal::BlockingPool>(kBlockingThreads, kBlockingQueueMax)) {
    for (int i = 0; i < std::max(1, options.io_threads); ++i) {
      threads_.push_back(std::make_shared<IoThread>(SweepEvery(options)));
    }
  }

  ~AsioServer() override {
    std::promise<void> closed;
    threads_[0]->Post([this, &closed] {
      for (const auto& listener : listeners_) listener->Close();
      closed.set_value();
    });
    closed.get_future().wait();
    for (const auto& thread : threads_) thread->Stop();
    // After the loops, whose handlers use it; what still runs in it answers into closed channels.
    pool_.reset();
    for (const std::string& path : unix_paths_) unlink(path.c_str());
  }

  void Start(const std::vector<Bind>& binds) {
    for (const Bind& bind : binds) {
      ports_.push_back(bind.bound.port);
      if (!bind.unix_path.empty()) unix_paths_.push_back(bind.unix_path);
      listeners_.push_back(std::make_shared<Listener>(
          threads_[0],
          bind.bound,
          [this] { return NextThread(); },
          [this, tls = bind.tls](std::shared_ptr<IoThread> home,
                                 internal::Socket socket,
                                 internal::Accepted accepted) {
            Serve(home, std::move(socket), std::move(accepted), tls);
          }));
    }
    for (const auto& thread : threads_) thread->Start();
    threads_[0]->Post([this] {
      for (const auto& listener : listeners_) listener->Accept();
    });
  }

  std::vector<uint16_t> Ports() const override { return ports_; }

  Result<std::shared_ptr<ByteStream>> ConnectUnix(const std::string& path) override {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
      return Fail(Code::kUnavailable, fmt::format("the socket path {} is too long", path));
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    // A unix socket connects at once or not at all: EAGAIN means that its backlog is full.
    if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      const int error = errno;
      if (fd >= 0) close(fd);
      return Fail(Code::kUnavailable,
                  fmt::format("cannot connect to {}: {}", path, std::strerror(error)));
    }
    const auto home = HomeThread();
    internal::Socket socket(home->context());
    boost::system::error_code failed;
    socket.assign(boost::asio::generic::stream_protocol(AF_UNIX, 0), fd, failed);
    if (failed) {
      close(fd);
      return Fail(Code::kUnavailable, fmt::format("cannot watch {}: {}", path, failed.message()));
    }
    Channel::Options channel_options;
    channel_options.read_bytes = kByteStreamReadBytes;
    channel_options.write_stall_max = options_->write_stall_max;
    return std::shared_ptr<ByteStream>(std::make_shared<internal::ChannelByteStream>(
        Channel::Create(home, internal::NewPlainTransport(std::move(socket)), channel_options)));
  }

  bool RunBlocking(std::function<void()> work) override { return pool_->Run(std::move(work)); }

  void Every(std::chrono::milliseconds every, std::function<void()> tick) override {
    threads_[0]->Every(every, std::move(tick));
  }

 private:
  std::shared_ptr<IoThread> NextThread() { return threads_[next_++ % threads_.size()]; }

  // The caller's own loop if it is one of ours, so that a relay's two ends share a thread.
  std::shared_ptr<IoThread> HomeThread() {
    for (const auto& thread : threads_) {
      if (thread->OnThread()) return thread;
    }
    return NextThread();
  }

  void Serve(const std::shared_ptr<IoThread>& home,
             internal::Socket socket,
             internal::Accepted accepted,
             const std::shared_ptr<boost::asio::ssl::context>& tls) {
    auto token = admission_->Admit(accepted.peer ? std::string() : accepted.remote);
    if (!token) return;  // The socket closes here: an answer would cost what is being saved.
    accepted.secure = tls != nullptr;
    Channel::Options channel_options;
    channel_options.write_stall_max = options_->write_stall_max;
    channel_options.admission = std::move(token);
    auto channel = Channel::Create(home,
                                   tls ? internal::NewTlsTransport(std::move(socket), tls)
                                       : internal::NewPlainTransport(std::move(socket)),
                                   std::move(channel_options));
    const auto connection =
        std::make_shared<internal::Connection>(channel, options_, handler_, std::move(accepted));
    channel->Run([connection] { connection->Start(); });
  }

  const std::shared_ptr<const ServerOptions> options_;
  const std::shared_ptr<const Handler> handler_;
  const std::shared_ptr<internal::Admission> admission_;
  std::unique_ptr<internal::BlockingPool> pool_;
  std::vector<std::shared_ptr<IoThread>> threads_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<uint16_t> ports_;
  std::vector<std::string> unix_paths_;
  std::atomic<size_t> next_{0};
};

void CloseAll(const std::vector<Bind>& binds) {
  for (const Bind& bind : binds) {
    close(bind.bound.fd);
    if (!bind.unix_path.empty()) unlink(bind.unix_path.c_str());
  }
}

}  // namespace

Result<std::unique_ptr<Server>> Server::Create(const std::vector<Listen>& listens,
                                               const ServerOptions& options,
                                               Handler handler) {
  // A peer that went away must be an error code, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  std::vector<Bind> binds;
  for (const Listen& listen : listens) {
    Bind bind;
    if (listen.tls) {
      auto context = internal::NewServerContext(*listen.tls);
      if (!context) {
        CloseAll(binds);
        return Fail(context.error());
      }
      bind.tls = *context;
    }
    auto bound = internal::Bind(listen);
    if (!bound) {
      CloseAll(binds);
      return Fail(bound.error());
    }
    bind.bound = *bound;
    bind.unix_path = listen.unix_path;
    binds.push_back(std::move(bind));
  }
  auto server = std::make_unique<AsioServer>(options, std::move(handler));
  server->Start(binds);
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace sluice::net
