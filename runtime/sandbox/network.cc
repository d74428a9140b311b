// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/network.h"

#include <arpa/inet.h>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/sandbox/process.h"

namespace sluice::runtime {
namespace {

constexpr int kReadyMs = 5000;
constexpr unsigned kTunMajor = 10;
constexpr unsigned kTunMinor = 200;

struct RouteMessage {
  nlmsghdr head;
  rtmsg route;
  rtattr attribute;
  uint32_t destination;
};
static_assert(sizeof(RouteMessage) == 16 + 12 + 4 + 4);

struct RouteAnswer {
  nlmsghdr head;
  nlmsgerr error;
};

Result<void> BringLoopbackUp() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Fail(ErrnoError(errno, "bring the loopback up"));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) {
    return Fail(ErrnoError(errno, "bring the loopback up"));
  }
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP | IFF_RUNNING);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) {
    return Fail(ErrnoError(errno, "bring the loopback up"));
  }
  return {};
}

Result<void> AddBlackhole(int netlink, Network4 network) {
  RouteMessage message{};
  message.head.nlmsg_len = sizeof(message);
  message.head.nlmsg_type = RTM_NEWROUTE;
  message.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
  message.route.rtm_family = AF_INET;
  message.route.rtm_dst_len = static_cast<unsigned char>(network.prefix);
  message.route.rtm_table = RT_TABLE_MAIN;
  message.route.rtm_protocol = RTPROT_STATIC;
  message.route.rtm_scope = RT_SCOPE_UNIVERSE;
  message.route.rtm_type = RTN_UNREACHABLE;
  message.attribute.rta_type = RTA_DST;
  message.attribute.rta_len = RTA_LENGTH(sizeof(uint32_t));
  message.destination = htonl(network.address);
  if (::send(netlink, &message, sizeof(message), 0) != static_cast<ssize_t>(sizeof(message))) {
    return Fail(ErrnoError(errno, "close a network"));
  }
  RouteAnswer answer{};
  const ssize_t got = ::recv(netlink, &answer, sizeof(answer), 0);
  if (got < static_cast<ssize_t>(sizeof(nlmsghdr) + sizeof(int)) ||
      answer.head.nlmsg_type != NLMSG_ERROR || answer.error.error != 0) {
    return Fail(ErrnoError(got < 0 ? errno : -answer.error.error, "close a network"));
  }
  return {};
}

// In a mount namespace of its own: a tun device that the tenant's user may open, without changing
// the host's.
bool OwnTunDevice(uint32_t uid) {
  if (::unshare(CLONE_NEWNS) != 0) return false;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  if (::mount("tmpfs", "/dev/net", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") != 0) {
    return false;
  }
  return ::mknod("/dev/net/tun", S_IFCHR | 0600, makedev(kTunMajor, kTunMinor)) == 0 &&
         ::chown("/dev/net/tun", uid, uid) == 0;
}

struct SlirpWords {
  std::vector<std::string> text;
  std::vector<char*> pointers;
};

[[noreturn]] void ExecSlirp(SlirpWords& words, uint32_t uid, bool change_user) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (change_user) {
    if (::access("/dev/net", F_OK) == 0) OwnTunDevice(uid);
    if (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
        ::setresuid(uid, uid, uid) != 0) {
      ::_exit(126);
    }
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) ::dup2(null, fd);
  ::execv(words.pointers[0], words.pointers.data());
  ::_exit(127);
}

}  // namespace

Result<void> CloseNetworks(std::span<const Network4> closed) {
  if (auto up = BringLoopbackUp(); !up) return up;
  const Fd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!netlink.valid()) return Fail(ErrnoError(errno, "close a network"));
  for (const Network4& network : closed) {
    if (auto added = AddBlackhole(netlink.get(), network); !added) return added;
  }
  return {};
}

std::vector<Network4> ClosedNetworks() {
  std::vector<Network4> closed = {{0xA9FE0000, 16}};  // 169.254.0.0/16
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return closed;
  for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    sockaddr_in address{};
    std::memcpy(&address, each->ifa_addr, sizeof(address));
    const uint32_t host = ntohl(address.sin_addr.s_addr);
    if ((host >> 24) != 127) closed.push_back({host, 32});
  }
  ::freeifaddrs(all);
  return closed;
}

Result<Outbound> StartOutbound(pid_t target, uint32_t uid, bool change_user) {
  const auto program = FindProgram("slirp4netns");
  if (!program) return Fail(program.error());
  if (::access("/dev/net/tun", F_OK) != 0) {
    return Fail(Code::kFailedPrecondition, "/dev/net/tun is missing");
  }
  if (!change_user && ::access("/dev/net/tun", R_OK | W_OK) != 0) {
    return Fail(Code::kFailedPrecondition,
                "/dev/net/tun is closed to ordinary users (as root: chmod 666 /dev/net/tun)");
  }
  std::array<int, 2> ready{};
  std::array<int, 2> exit_ends{};
  if (::pipe2(ready.data(), O_CLOEXEC) != 0) return Fail(ErrnoError(errno, "start slirp4netns"));
  Fd ready_read(ready[0]);
  Fd ready_write(ready[1]);
  if (::pipe2(exit_ends.data(), O_CLOEXEC) != 0) {
    return Fail(ErrnoError(errno, "start slirp4netns"));
  }
  const Fd exit_read(exit_ends[0]);
  Fd exit_write(exit_ends[1]);
  // The descriptors that the program is told of stay open in it under their present numbers.
  SlirpWords words;
  words.text = {*program,
                "--configure",
                "--mtu=65520",
                "--disable-host-loopback",
                "--enable-seccomp",
                fmt::format("--ready-fd={}", ready_write.get()),
                fmt::format("--exit-fd={}", exit_read.get()),
                fmt::format("--userns-path=/proc/{}/ns/user", target),
                "--netns-type=path",
                fmt::format("/proc/{}/ns/net", target),
                "tap0"};
  for (std::string& word : words.text) words.pointers.push_back(word.data());
  words.pointers.push_back(nullptr);
  Outbound outbound;
  outbound.pid = ::fork();
  if (outbound.pid < 0) return Fail(ErrnoError(errno, "start slirp4netns"));
  if (outbound.pid == 0) {
    for (const int fd : {ready_write.get(), exit_read.get()}) ::fcntl(fd, F_SETFD, 0);
    ExecSlirp(words, uid, change_user);
  }
  outbound.keep = std::move(exit_write);
  ready_write.Reset();
  struct pollfd wait = {ready_read.get(), POLLIN, 0};
  char byte = 0;
  if (::poll(&wait, 1, kReadyMs) == 1 && ::read(ready_read.get(), &byte, 1) == 1) return outbound;
  ::kill(outbound.pid, SIGKILL);
  ::waitpid(outbound.pid, nullptr, 0);
  return Fail(Code::kFailedPrecondition, "slirp4netns could not set up an interface");
}

}  // namespace sluice::runtime
