// SPDX-License-Identifier: Apache-2.0
// Runs inside a desktop under test and says what the sandbox lets it do.
#include <arpa/inet.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <linux/keyctl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace {

void Say(const char* name, long result) {
  const char* error = result >= 0 ? "allowed" : strerrorname_np(errno);
  std::printf("%s %s\n", name, error);
}

void Calls() {
  Say("mount", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, nullptr));
  Say("umount2", syscall(SYS_umount2, "/tmp", 0));
  Say("pivot_root", syscall(SYS_pivot_root, "/", "/"));
  Say("unshare", syscall(SYS_unshare, CLONE_NEWUSER));
  Say("setns", syscall(SYS_setns, 0, 0));
  Say("clone_newuser", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, 0));
  Say("clone3", syscall(SYS_clone3, nullptr, 0));
  Say("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1));
  Say("add_key", syscall(SYS_add_key, "user", "x", "x", 1, KEY_SPEC_PROCESS_KEYRING));
  Say("bpf", syscall(SYS_bpf, 0, nullptr, 0));
  Say("perf_event_open", syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0));
  Say("io_uring_setup", syscall(SYS_io_uring_setup, 1, nullptr));
  Say("userfaultfd", syscall(SYS_userfaultfd, 0));
  Say("open_by_handle_at", syscall(SYS_open_by_handle_at, 0, nullptr, 0));
  Say("init_module", syscall(SYS_init_module, nullptr, 0, ""));
  Say("reboot", syscall(SYS_reboot, 0, 0, 0, nullptr));
  const timespec now = {1, 0};
  Say("clock_settime", clock_settime(CLOCK_REALTIME, &now));
  Say("tiocsti", ioctl(0, TIOCSTI, "x"));
  Say("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
}

void Connect(const char* address, const char* port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  inet_pton(AF_INET, address, &to.sin_addr);
  int error = 0;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) error = errno;
  if (error == EINPROGRESS) {
    pollfd wait = {fd, POLLOUT, 0};
    if (poll(&wait, 1, 3000) != 1) {
      std::puts("timeout");
      return;
    }
    socklen_t length = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  }
  std::puts(error == 0 ? "connected" : strerrorname_np(error));
}

// The interface of the default route.
void Route() {
  std::ifstream routes("/proc/net/route");
  std::string interface;
  std::string destination;
  std::string rest;
  while (routes >> interface >> destination && std::getline(routes, rest)) {
    if (destination == "00000000") std::puts(interface.c_str());
  }
}

// A path far longer than any that can be named in one piece.
void Deep() {
  const std::string name(100, 'd');
  for (int i = 0; i < 400; ++i) {
    if (mkdir(name.c_str(), 0700) != 0 || chdir(name.c_str()) != 0) std::perror("deep");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "calls") Calls();
  if (what == "connect" && argc == 4) Connect(argv[2], argv[3]);
  if (what == "route") Route();
  if (what == "deep") Deep();
  return 0;
}
