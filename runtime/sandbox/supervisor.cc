// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <string>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/sandbox.h"
#include "runtime/sandbox/files.h"
#include "runtime/sandbox/launch.h"
#include "runtime/sandbox/limits.h"
#include "runtime/sandbox/rfb_probe.h"
#include "runtime/sandbox/sockets.h"
#include "runtime/sandbox/tenant.h"

namespace sluice::runtime {
namespace {

constexpr Duration kDisplayUpAtMost(30'000);
constexpr Duration kProbeFirst(10);
constexpr Duration kProbeSlowest(2'000);
constexpr Duration kGraceOfSignal(5'000);
constexpr size_t kLogBytesMax = size_t{256} << 10;
// What is written after the log is full is read at this pace, so that it costs nothing.
constexpr Duration kOutputEvery(100);
// Of one connection; more than any number of pictures that a start takes.
constexpr size_t kProbeBytesMax = size_t{256} << 20;
constexpr int kNoDisplayStatus = 70;  // Of start.sh.

std::string ExitReason(int status) {
  const int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  if (WIFSIGNALED(status)) return fmt::format("the sandbox was killed (signal {})", code - 128);
  if (code == kNoDisplayStatus) return "the display server did not start";
  if (code > 128) return fmt::format("the display server was killed (signal {})", code - 128);
  if (code == 0) return "the display server ended";
  return fmt::format("the display server ended with status {}", code);
}

// Watches the display from outside, as a viewer would, until something is painted.
class DisplayWatch {
 public:
  explicit DisplayWatch(DesktopFolder folder) : folder_(std::move(folder)) {}

  int fd() const { return socket_.get(); }
  bool up() const { return up_; }
  bool painted() const { return painted_; }

  // Makes the next attempt: finds the socket, connects, or asks for another picture.
  void Attempt() {
    if (socket_.valid()) {
      if (blank_) probe_.AskAgain();
      blank_ = false;
      Send();
      return;
    }
    if (!Publish()) return;
    auto connected = ConnectUnix(folder_.rfb());
    if (!connected) return;
    ::fcntl(connected->get(), F_SETFL, O_NONBLOCK);
    socket_ = std::move(*connected);
    probe_ = RfbProbe();
    read_bytes_ = 0;
  }

  // The socket has bytes. Takes some of them: a server that never stops sending must not keep the
  // supervisor from its orders.
  void Read() {
    static std::array<char, size_t{256} << 10> block;
    const ssize_t got = ::read(socket_.get(), block.data(), block.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    read_bytes_ += got > 0 ? static_cast<size_t>(got) : 0;
    if (got <= 0 || read_bytes_ > kProbeBytesMax) return socket_.Reset();
    Handle(probe_.Consume({block.data(), static_cast<size_t>(got)}));
    Send();
  }

 private:
  void Handle(RfbProbe::Progress progress) {
    using enum RfbProbe::Progress;
    up_ = up_ || progress == kUp || progress == kBlank || progress == kPainted;
    blank_ = progress == kBlank;
    painted_ = progress == kPainted;
    if (painted_ || progress == kProtocolError) socket_.Reset();
  }

  void Send() {
    const std::string output = probe_.TakeOutput();
    if (output.empty() || !socket_.valid()) return;
    if (::send(socket_.get(), output.data(), output.size(), MSG_NOSIGNAL) < 0) socket_.Reset();
  }

  // Links the tenant's socket into our own folder. The tenant may put anything in its folder, a
  // symbolic link to somebody else's socket for one; so viewers only ever connect to what was
  // seen here to be a socket that the tenant made.
  bool Publish() {
    if (published_) return true;
    const std::string made = folder_.display() + "/rfb.sock";
    const Fd fd(::open(made.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status {};
    if (!fd.valid() || ::fstat(fd.get(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
    ::unlink(folder_.rfb().c_str());
    const std::string from = fmt::format("/proc/self/fd/{}", fd.get());
    published_ =
        ::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, folder_.rfb().c_str(), AT_SYMLINK_FOLLOW) == 0;
    if (published_ && ::geteuid() == 0) {
      // From here on the folder needs no writer, and a tenant could only fill the disk with it.
      (void)!::chown(folder_.display().c_str(), 0, 0);
      ::chmod(folder_.display().c_str(), 0755);
    }
    return published_;
  }

  DesktopFolder folder_;
  Fd socket_;
  RfbProbe probe_;
  size_t read_bytes_ = 0;
  bool published_ = false;
  bool up_ = false;
  bool blank_ = false;
  bool painted_ = false;
};

// One desktop, from start to end. One thread.
class Supervisor {
 public:
  explicit Supervisor(std::string root) : folder_{std::move(root)}, display_(folder_) {}

  Result<void> Start();
  void Run();

 private:
  Result<void> TakeLock();
  Result<void> StartParts();
  void Save();
  void OnSignal();
  void OnControl();
  void OnOrder();
  void OnOutput();
  void OnTime(Duration now);
  void AskToStop(Duration grace);
  void Reap();
  void Finish(std::string reason);
  int WaitMs() const;

  SystemClock clock_;
  DesktopFolder folder_;
  Fd lock_;
  Fd control_;
  Fd order_;
  Fd signals_;
  Launch launch_;
  ControlGroup group_;
  Tenant tenant_;
  DisplayWatch display_;
  Status status_;
  Duration started_{};
  Duration next_probe_{};
  Duration probe_every_ = kProbeFirst;
  std::optional<Duration> kill_at_;
  bool asked_to_stop_ = false;
  bool too_late_ = false;
  std::optional<int> ended_;
  size_t log_bytes_ = 0;
  std::optional<Duration> output_again_;  // Not read before, when set.
};

Result<void> Supervisor::TakeLock() {
  lock_ = Fd(::open(folder_.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.valid()) return Fail(ErrnoError(errno, "open " + folder_.lock()));
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(lock_.get(), F_OFD_SETLK, &whole) != 0) {
    return Fail(Code::kAlreadyExists, "the desktop runs already");
  }
  return {};
}

Result<void> Supervisor::StartParts() {
  auto launch = LoadLaunch(folder_);
  if (!launch) return Fail(launch.error());
  launch_ = std::move(*launch);
  ::unlink(folder_.rfb().c_str());
  if (auto emptied = RemoveTree(folder_.display()); !emptied) return emptied;
  if (auto made = MakeFolder(folder_.display(), 0700); !made) return made;
  if (::chown(folder_.display().c_str(), launch_.uid, launch_.uid) != 0) {
    return Fail(ErrnoError(errno, "give the display's folder to its user"));
  }
  auto control = ListenUnix(folder_.control());
  if (!control) return Fail(control.error());
  control_ = std::move(*control);
  const LaunchSpec& spec = launch_.spec;
  auto group = ControlGroup::Create(
      launch_.cgroup_folders, spec.desktop.text(), {spec.cpu_percent_max, spec.memory_max});
  if (!group) return Fail(group.error());
  group_ = std::move(*group);
  auto tenant = StartTenant(folder_, launch_, group_);
  if (!tenant) return Fail(tenant.error());
  tenant_ = std::move(*tenant);
  return {};
}

Result<void> Supervisor::Start() {
  if (auto locked = TakeLock(); !locked) return locked;
  // What loses its parent inside comes to us, so that the end of everything can be waited for.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t handled;
  sigemptyset(&handled);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&handled, number);
  ::sigprocmask(SIG_BLOCK, &handled, nullptr);
  signals_ = Fd(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  ::unlink(folder_.log().c_str());
  status_ = {};
  status_.phase = Phase::kStarting;
  status_.supervisor_pid = ::getpid();
  status_.started_at = clock_.Now();
  started_ = clock_.Steady();
  Save();
  if (auto started = StartParts(); !started) {
    Finish(started.error().message);
    return started;
  }
  status_.network = tenant_.network;
  status_.limits_in_force = group_.Kind().empty() ? "rlimits" : std::string(group_.Kind());
  Save();
  return {};
}

void Supervisor::Save() {
  // A full disk must not end a running desktop: readers see the last state that could be written.
  (void)SaveStatus(folder_, status_);
}

int Supervisor::WaitMs() const {
  std::optional<Duration> next = kill_at_;
  if (output_again_ && (!next || *output_again_ < *next)) next = output_again_;
  if (!display_.painted() && (!next || next_probe_ < *next)) next = next_probe_;
  if (!next) return -1;
  return static_cast<int>(std::clamp<int64_t>((*next - clock_.Steady()).count(), 0, 60'000));
}

void Supervisor::Run() {
  while (!ended_) {
    std::array<struct pollfd, 5> waits = {{{signals_.get(), POLLIN, 0},
                                           {control_.get(), POLLIN, 0},
                                           {order_.get(), POLLIN, 0},
                                           {output_again_ ? -1 : tenant_.output.get(), POLLIN, 0},
                                           {display_.fd(), POLLIN, 0}}};
    if (::poll(waits.data(), waits.size(), WaitMs()) < 0 && errno != EINTR) break;
    if (waits[0].revents != 0) OnSignal();
    if (waits[2].revents != 0) OnOrder();
    if (waits[1].revents != 0) OnControl();
    if (waits[3].revents != 0) OnOutput();
    if (waits[4].revents != 0) display_.Read();
    OnTime(clock_.Steady());
  }
  const int status = ended_.value_or(0);
  OnOutput();
  if (asked_to_stop_) return Finish("");
  Finish(too_late_ ? "the display did not come up within 30 s" : ExitReason(status));
}

void Supervisor::OnTime(Duration now) {
  if (output_again_ && now >= *output_again_) output_again_.reset();
  if (kill_at_ && now >= *kill_at_) {
    if (!ended_) ::kill(tenant_.pid, SIGKILL);
    kill_at_.reset();
  }
  const Phase phase = display_.painted() ? Phase::kRunning
                      : display_.up()    ? Phase::kDisplayUp
                                         : Phase::kStarting;
  if (phase > status_.phase) {
    status_.phase = phase;
    probe_every_ = kProbeFirst;
    Save();
  }
  if (display_.painted()) return;
  if (!display_.up() && !too_late_ && now - started_ > kDisplayUpAtMost) {
    too_late_ = true;
    kill_at_ = now;
  }
  if (now < next_probe_) return;
  display_.Attempt();
  next_probe_ = now + probe_every_;
  // Quick for the first second, then ever slower: a desktop may stay blank for good.
  if (now - started_ > Duration(1000)) probe_every_ = std::min(probe_every_ * 2, kProbeSlowest);
}

void Supervisor::OnSignal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    if (info.ssi_signo == SIGCHLD) continue;
    AskToStop(kGraceOfSignal);
  }
  Reap();
}

void Supervisor::Reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid == tenant_.pid) ended_ = status;
    if (pid == tenant_.outbound.pid) {
      tenant_.outbound.pid = 0;  // The number may soon be another process's.
      if (ended_) continue;
      status_.network = "none: slirp4netns ended";
      Save();
    }
  }
}

void Supervisor::OnControl() {
  Fd client(::accept4(control_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  // One at a time, the newest: who connects and says nothing holds nobody up.
  if (client.valid()) order_ = std::move(client);
}

void Supervisor::OnOrder() {
  std::array<char, 64> text{};
  const ssize_t got = ::read(order_.get(), text.data(), text.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  const std::string_view order(text.data(), got > 0 ? static_cast<size_t>(got) : 0);
  order_.Reset();
  constexpr std::string_view kStop = "stop ";
  if (!order.starts_with(kStop)) return;
  int64_t grace_ms = 0;
  std::from_chars(order.data() + kStop.size(), order.data() + order.size(), grace_ms);
  AskToStop(Duration(std::clamp<int64_t>(grace_ms, 0, 600'000)));
}

void Supervisor::AskToStop(Duration grace) {
  const Duration at = clock_.Steady() + grace;
  if (!kill_at_ || at < *kill_at_) kill_at_ = at;
  if (asked_to_stop_) return;
  asked_to_stop_ = true;
  constexpr std::string_view kStop = "stop\n";
  if (::write(tenant_.orders.get(), kStop.data(), kStop.size()) < 0) kill_at_ = clock_.Steady();
}

void Supervisor::OnOutput() {
  std::array<char, 16384> text{};
  const ssize_t got = ::read(tenant_.output.get(), text.data(), text.size());
  if (got == 0) tenant_.output.Reset();
  if (log_bytes_ >= kLogBytesMax) output_again_ = clock_.Steady() + kOutputEvery;
  if (got <= 0 || log_bytes_ >= kLogBytesMax) return;
  const Fd log(::open(folder_.log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (log.valid()) (void)!::write(log.get(), text.data(), static_cast<size_t>(got));
  log_bytes_ += static_cast<size_t>(got);
}

void Supervisor::Finish(std::string reason) {
  // With bwrap gone its first process inside gets the kernel's SIGKILL, and with that all others;
  // it becomes our child, so the last wait ends when nothing is left.
  tenant_.outbound.keep.Reset();
  if (tenant_.outbound.pid > 0) ::kill(tenant_.outbound.pid, SIGKILL);
  while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
  }
  group_.Remove();
  ::unlink(folder_.rfb().c_str());
  ::unlink(folder_.control().c_str());
  status_.phase = asked_to_stop_ ? Phase::kPrepared : Phase::kExited;
  status_.reason = std::move(reason);
  status_.supervisor_pid = 0;
  Save();
}

// The parent waits for what the keeper says of its start, and passes it on.
int WaitForKeeper(Fd told) {
  std::string text;
  std::array<char, 1024> block{};
  ssize_t got = 0;
  while ((got = ::read(told.get(), block.data(), block.size())) > 0) {
    text.append(block.data(), static_cast<size_t>(got));
  }
  if (text == "ok") return 0;
  std::fprintf(stderr, "%s\n", text.empty() ? "the supervisor died while starting" : text.c_str());
  return 1;
}

void DetachFromTerminal() {
  const int null = ::open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) ::dup2(null, fd);
  if (null > 2) ::close(null);
  (void)!::chdir("/");
}

}  // namespace

int SuperviseMain(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: sluice-supervise FOLDER\n");
    return 2;
  }
  ::close_range(3, ~0U, 0);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return 1;
  Fd told(ends[0]);
  Fd tell(ends[1]);
  const pid_t first = ::fork();
  if (first < 0) return 1;
  if (first > 0) {
    tell.Reset();
    const int result = WaitForKeeper(std::move(told));
    ::waitpid(first, nullptr, 0);
    return result;
  }
  told.Reset();
  ::setsid();
  if (::fork() != 0) ::_exit(0);
  DetachFromTerminal();
  Supervisor supervisor(argv[1]);
  const auto started = supervisor.Start();
  const std::string word = started ? "ok" : started.error().message;
  (void)!::write(tell.get(), word.data(), word.size());
  tell.Reset();
  if (!started) return 1;
  supervisor.Run();
  return 0;
}

}  // namespace sluice::runtime
