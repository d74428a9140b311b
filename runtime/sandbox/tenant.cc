// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/tenant.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "runtime/sandbox/inside.h"
#include "runtime/sandbox/process.h"
#include "runtime/sandbox/seccomp.h"

namespace sluice::runtime {
namespace {

// Descriptors as bwrap and the start script see them.
constexpr int kOrdersFd = 3;
constexpr int kArgumentsFd = 4;
constexpr int kSeccompFd = 5;
constexpr int kFirstFreeFd = 16;
constexpr int kStepMs = 10'000;

// The ends of the pipes between supervisor and tenant.
struct Channels {
  Fd orders_read, orders_write;
  Fd output_read, output_write;
  Fd talk_tenant, talk_supervisor;  // One byte per step, or the text of a failure.
};

// Above the numbers that bwrap's descriptors will get.
Result<Fd> Above(int fd, int first) {
  Fd low(fd);
  Fd high(::fcntl(fd, F_DUPFD_CLOEXEC, first));
  if (!high.valid()) return Fail(ErrnoError(errno, "make a pipe"));
  return high;
}

Result<void> MakePipe(Fd& read_end, Fd& write_end) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Fail(ErrnoError(errno, "make a pipe"));
  auto read_high = Above(ends[0], kFirstFreeFd);
  auto write_high = Above(ends[1], kFirstFreeFd);
  if (!read_high) return Fail(read_high.error());
  if (!write_high) return Fail(write_high.error());
  read_end = std::move(*read_high);
  write_end = std::move(*write_high);
  return {};
}

Result<Channels> MakeChannels() {
  Channels made;
  if (auto pipe = MakePipe(made.orders_read, made.orders_write); !pipe) return Fail(pipe.error());
  if (auto pipe = MakePipe(made.output_read, made.output_write); !pipe) return Fail(pipe.error());
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return Fail(ErrnoError(errno, "make a pipe"));
  }
  auto tenant = Above(pair[0], kFirstFreeFd);
  auto supervisor = Above(pair[1], kFirstFreeFd);
  if (!tenant) return Fail(tenant.error());
  if (!supervisor) return Fail(supervisor.error());
  made.talk_tenant = std::move(*tenant);
  made.talk_supervisor = std::move(*supervisor);
  ::fcntl(made.output_read.get(), F_SETFL, O_NONBLOCK);
  return made;
}

// Root: shows the sources under /tmp/<number> of a mount namespace of our own, so that the tenant's
// user reaches them although their parent folders are closed to it.
Result<void> MakeReachable(std::vector<Bind>& binds) {
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Fail(ErrnoError(errno, "make a mount namespace"));
  }
  std::vector<Fd> sources;  // Opened before /tmp is covered: they may be below it.
  for (const Bind& bind : binds) {
    sources.emplace_back(::open(bind.source.c_str(), O_PATH | O_CLOEXEC));
    if (!sources.back().valid()) return Fail(ErrnoError(errno, "find " + bind.source));
  }
  if (::mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") != 0) {
    return Fail(ErrnoError(errno, "mount a folder"));
  }
  for (size_t i = 0; i < binds.size(); ++i) {
    const std::string from = fmt::format("/proc/self/fd/{}", sources[i].get());
    const std::string to = fmt::format("/tmp/{}", i);
    struct stat status {};
    if (::fstat(sources[i].get(), &status) != 0) return Fail(ErrnoError(errno, "find " + from));
    const int made = S_ISDIR(status.st_mode) ? ::mkdir(to.c_str(), 0755)
                                             : ::mknod(to.c_str(), S_IFREG | 0644, 0);
    if (made != 0 || ::mount(from.c_str(), to.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
      return Fail(ErrnoError(errno, "show " + binds[i].source));
    }
    binds[i].source = to;
  }
  return {};
}

Result<void> BecomeUser(uint32_t uid) {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
      ::setresuid(uid, uid, uid) != 0) {
    return Fail(ErrnoError(errno, "become the tenant's user"));
  }
  return {};
}

Result<void> WriteMap(const char* path, const std::string& text) {
  const Fd fd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || ::write(fd.get(), text.data(), text.size()) < 0) {
    return Fail(ErrnoError(errno, fmt::format("write {}", path)));
  }
  return {};
}

// A user and a network namespace in which we may do what the desktop later may not.
Result<void> EnterNamespaces() {
  const uid_t uid = ::getuid();
  const gid_t gid = ::getgid();
  // Reading our own /proc/self is refused to a process that has changed its user.
  ::prctl(PR_SET_DUMPABLE, 1);
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return Fail(ErrnoError(errno, "make a user namespace (are they allowed on this host?)"));
  }
  if (auto done = WriteMap("/proc/self/setgroups", "deny"); !done) return done;
  if (auto done = WriteMap("/proc/self/uid_map", fmt::format("{0} {0} 1", uid)); !done) return done;
  return WriteMap("/proc/self/gid_map", fmt::format("{0} {0} 1", gid));
}

Result<void> TellAndWait(int talk) {
  char byte = 'n';
  if (::send(talk, &byte, 1, MSG_NOSIGNAL) != 1 || ::recv(talk, &byte, 1, 0) != 1) {
    return Fail(Code::kAborted, "the supervisor went away");
  }
  return {};
}

Result<Fd> ArgumentsFile(const std::vector<std::string>& arguments) {
  Fd file(::memfd_create("sluice-arguments", MFD_CLOEXEC));
  std::string text;
  for (const std::string& argument : arguments) text += argument + '\0';
  if (!file.valid() || ::write(file.get(), text.data(), text.size()) < 0 ||
      ::lseek(file.get(), 0, SEEK_SET) != 0) {
    return Fail(ErrnoError(errno, "write the sandbox's arguments"));
  }
  return file;
}

// Between fork and exec of bwrap.
Result<void> RunInside(const DesktopFolder& folder,
                       const Launch& launch,
                       const ControlGroup& group,
                       const Channels& channels) {
  ::setpgid(0, 0);
  const auto bwrap = FindProgram("bwrap");
  if (!bwrap) return Fail(bwrap.error());
  auto filter = SeccompProgram();
  if (!filter) return Fail(filter.error());
  if (auto added = group.Add(::getpid()); !added) return added;
  std::vector<Bind> binds = PrivateBinds(folder, launch);
  if (launch.change_user) {
    if (auto made = MakeReachable(binds); !made) return made;
  }
  const MachineLimits limits = {launch.spec.cpu_percent_max, launch.spec.memory_max};
  const MachineLimits by_rlimit = group.Kind().empty() ? limits : MachineLimits{};
  if (auto set = ApplyRlimits(by_rlimit, launch.change_user); !set) return set;
  if (launch.change_user) {
    if (auto done = BecomeUser(launch.uid); !done) return done;
  }
  // The machine's addresses, so before its network is left.
  const std::vector<Network4> closed = ClosedNetworks();
  if (auto made = EnterNamespaces(); !made) return made;
  if (auto told = TellAndWait(channels.talk_tenant.get()); !told) return told;
  if (auto done = CloseNetworks(closed); !done) return done;
  auto arguments = ArgumentsFile(SandboxArguments(launch, binds));
  if (!arguments) return Fail(arguments.error());

  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto high_arguments = Above(arguments->Release(), kFirstFreeFd);
  const auto high_filter = Above(filter->Release(), kFirstFreeFd);
  if (!high_arguments || !high_filter) return Fail(Code::kResourceExhausted, "too many files");
  ::dup2(null.get(), 0);
  ::dup2(channels.output_write.get(), 1);
  ::dup2(channels.output_write.get(), 2);
  ::dup2(channels.orders_read.get(), kOrdersFd);
  ::dup2(high_arguments->get(), kArgumentsFd);
  ::dup2(high_filter->get(), kSeccompFd);
  // Last, because changing the user clears it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::umask(022);
  const std::string args_fd = std::to_string(kArgumentsFd);
  const std::string seccomp_fd = std::to_string(kSeccompFd);
  ::execl(bwrap->c_str(),
          "bwrap",
          "--args",
          args_fd.c_str(),
          "--seccomp",
          seccomp_fd.c_str(),
          "--",
          "/bin/sh",
          "/run/sluice/session/start.sh",
          nullptr);
  return Fail(ErrnoError(errno, "run bwrap"));
}

// The tenant's next word: 'n' for the namespaces, a failure's text, or nothing when it has become
// bwrap.
Result<std::string> Listen(int talk) {
  struct pollfd wait = {talk, POLLIN, 0};
  if (::poll(&wait, 1, kStepMs) != 1) {
    return Fail(Code::kDeadlineExceeded, "the sandbox did not start within 10 s");
  }
  std::array<char, 1024> text{};
  const ssize_t got = ::recv(talk, text.data(), text.size(), 0);
  if (got < 0) return Fail(ErrnoError(errno, "hear from the sandbox"));
  return std::string(text.data(), static_cast<size_t>(got));
}

Result<void> Handshake(const Launch& launch, int talk, Tenant& tenant) {
  auto word = Listen(talk);
  if (!word) return Fail(word.error());
  if (*word != "n") return Fail(Code::kFailedPrecondition, *word);
  tenant.network = "none";
  if (launch.spec.network) {
    auto outbound = StartOutbound(tenant.pid, launch.uid, launch.change_user);
    tenant.network = outbound ? "outbound" : "none: " + outbound.error().message;
    if (outbound) tenant.outbound = std::move(*outbound);
  }
  if (::send(talk, "g", 1, MSG_NOSIGNAL) != 1) return Fail(Code::kAborted, "the sandbox died");
  word = Listen(talk);
  if (!word) return Fail(word.error());
  if (!word->empty()) return Fail(Code::kFailedPrecondition, *word);
  return {};
}

}  // namespace

Result<Tenant> StartTenant(const DesktopFolder& folder,
                           const Launch& launch,
                           const ControlGroup& group) {
  auto channels = MakeChannels();
  if (!channels) return Fail(channels.error());
  Tenant tenant;
  tenant.pid = ::fork();
  if (tenant.pid < 0) return Fail(ErrnoError(errno, "start the sandbox"));
  if (tenant.pid == 0) {
    channels->talk_supervisor.Reset();
    const auto failed = RunInside(folder, launch, group, *channels);
    const std::string text = failed.error().message;
    (void)::send(channels->talk_tenant.get(), text.data(), text.size(), MSG_NOSIGNAL);
    ::_exit(125);
  }
  channels->talk_tenant.Reset();
  auto started = Handshake(launch, channels->talk_supervisor.get(), tenant);
  if (!started) {
    ::kill(tenant.pid, SIGKILL);
    if (tenant.outbound.pid > 0) ::kill(tenant.outbound.pid, SIGKILL);
    while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
    }
    return Fail(started.error());
  }
  tenant.orders = std::move(channels->orders_write);
  tenant.output = std::move(channels->output_read);
  return tenant;
}

}  // namespace sluice::runtime
