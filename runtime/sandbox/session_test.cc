// SPDX-License-Identifier: Apache-2.0
// Real desktops in the real sandbox: the conformance suite, and what only a sandbox promises.
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <chrono>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sstream>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "runtime/conformance/conformance.h"
#include "runtime/sandbox.h"
#include "runtime/sandbox/files.h"
#include "runtime/sandbox/process.h"
#include "runtime/sandbox/sockets.h"

namespace sluice::runtime {
namespace {

namespace fs = std::filesystem;

const std::string kBuild = SLUICE_BUILD_DIR;

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  std::string name;
  char state = 0;
};

// Every process that is not a zombie.
std::vector<Process> Processes() {
  std::vector<Process> all;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string number = entry.path().filename();
    pid_t pid = 0;
    std::from_chars(number.data(), number.data() + number.size(), pid);
    const auto text = pid > 0 ? ReadFile(entry.path().string() + "/stat") : Result<std::string>();
    const size_t open = text ? text->find('(') : std::string::npos;
    const size_t close = text ? text->rfind(')') : std::string::npos;
    if (open == std::string::npos || close == std::string::npos) continue;
    Process process = {pid, 0, text->substr(open + 1, close - open - 1), 0};
    std::istringstream rest(text->substr(close + 1));
    rest >> process.state >> process.parent;
    if (process.state != 'Z') all.push_back(process);
  }
  return all;
}

std::vector<Process> Descendants(pid_t root) {
  const std::vector<Process> all = Processes();
  std::vector<Process> found;
  std::vector<pid_t> open = {root};
  while (!open.empty()) {
    const pid_t parent = open.back();
    open.pop_back();
    for (const Process& process : all) {
      if (process.parent != parent) continue;
      found.push_back(process);
      open.push_back(process.pid);
    }
  }
  return found;
}

bool Runs(pid_t pid) {
  return std::ranges::any_of(Processes(), [&](const Process& each) { return each.pid == pid; });
}

template <typename F>
bool Eventually(F condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

class SandboxUnderTest final : public MachineUnderTest {
 public:
  SandboxUnderTest() {
    std::string name = fs::temp_directory_path() / "sluice-sandbox-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    options_.state_folder = root_ + "/state";
    options_.volatile_folder = root_ + "/run";
    options_.supervisor = kBuild + "/bin/sluice-supervise";
  }
  ~SandboxUnderTest() override { EXPECT_TRUE(RemoveTree(root_)); }

  std::unique_ptr<Runtime> Open() override {
    auto opened = OpenSandbox(options_);
    EXPECT_TRUE(opened) << ToString(opened.error());
    return opened ? std::move(*opened) : nullptr;
  }

  std::string Home(const std::string& home_id) const { return root_ + "/state/homes/" + home_id; }
  bool HasHome(const std::string& home_id) override { return fs::exists(Home(home_id)); }

  void KillSupervisor(Runtime& runtime, const DesktopId& desktop) override {
    const auto pid = static_cast<pid_t>(runtime.GetStatus(desktop)->supervisor_pid);
    ASSERT_GT(pid, 0);
    const std::vector<Process> below = Descendants(pid);
    EXPECT_GE(below.size(), 5U);
    ::kill(pid, SIGKILL);
    EXPECT_TRUE(Eventually([&] {
      return std::ranges::none_of(below, [](const Process& each) { return Runs(each.pid); });
    })) << "the sandbox outlived its supervisor";
  }

  void KillDisplay(Runtime& runtime, const DesktopId& desktop) override {
    const auto supervisor = static_cast<pid_t>(runtime.GetStatus(desktop)->supervisor_pid);
    for (const Process& process : Descendants(supervisor)) {
      if (process.name == "Xtigervnc") ::kill(process.pid, SIGKILL);
    }
  }

  std::string Leftovers(const DesktopId& desktop) override {
    const std::string folder = options_.volatile_folder + "/desktops/" + desktop.text();
    if (fs::exists(folder)) return folder;
    for (const Process& process : Processes()) {
      const auto words = ReadFile(fmt::format("/proc/{}/cmdline", process.pid));
      if (words && words->find(folder) != std::string::npos) return "process " + process.name;
    }
    const auto mounts = ReadFile("/proc/self/mountinfo");
    return mounts->find(root_) == std::string::npos ? "" : *mounts;
  }

  const std::string& root() const { return root_; }

 private:
  std::string root_;
  SandboxOptions options_;
};

INSTANTIATE_TEST_SUITE_P(Sandbox, RuntimeConformance, ::testing::Values([] {
                           return std::unique_ptr<MachineUnderTest>(new SandboxUnderTest);
                         }));

// One desktop whose programs tell the test things by files in its home.
class Desktop : public ::testing::Test {
 protected:
  Desktop() : runtime_(machine_.Open()), spec_(SpecOf("inside")) {}
  ~Desktop() override { EXPECT_TRUE(runtime_->Remove(spec_.desktop, false)); }

  std::string Home() const { return machine_.Home(spec_.home_id); }

  void Start() {
    const auto prepared = runtime_->Prepare(spec_);
    ASSERT_TRUE(prepared) << ToString(prepared.error());
    fs::copy_file(kBuild + "/tests/runtime_inside_probe",
                  Home() + "/probe",
                  fs::copy_options::overwrite_existing);
    const auto started = runtime_->Start(spec_.desktop);
    ASSERT_TRUE(started) << ToString(started.error());
  }

  // What the first command of the session, a shell script, writes.
  std::string Answer(const std::string& script) {
    spec_.autostart = {"cd; { " + script + "; } >answer.new 2>&1; mv answer.new answer"};
    Start();
    EXPECT_TRUE(Eventually([&] { return fs::exists(Home() + "/answer"); }));
    auto text = ReadFile(Home() + "/answer");
    return text ? *text : "";
  }

  SandboxUnderTest machine_;
  std::unique_ptr<Runtime> runtime_;
  LaunchSpec spec_;
};

TEST_F(Desktop, RunsAsAnOrdinaryUserWithoutPrivileges) {
  const std::string answer = Answer(
      "id -un; id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; "
      "find / -xdev -perm /6000 2>/dev/null | grep -v ^/usr | wc -l");
  EXPECT_EQ(answer,
            "lina\n1000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n"
            "Seccomp:\t2\n0\n");
}

TEST_F(Desktop, IsRefusedWhatReachesAroundTheSandbox) {
  EXPECT_EQ(Answer("./probe calls"),
            "mount EPERM\numount2 EPERM\npivot_root EPERM\nunshare EPERM\nsetns EPERM\n"
            "clone_newuser EPERM\nclone3 ENOSYS\nkeyctl EPERM\nadd_key EPERM\nbpf EPERM\n"
            "perf_event_open EPERM\nio_uring_setup EPERM\nuserfaultfd EPERM\n"
            "open_by_handle_at EPERM\ninit_module EPERM\nreboot EPERM\nclock_settime EPERM\n"
            "tiocsti EPERM\nvsock EPERM\n");
}

TEST_F(Desktop, SeesNothingOfTheHostsFiles) {
  std::ofstream(machine_.root() + "/secret") << "host";
  const std::string answer =
      Answer("ls /; echo; ls /home; ls /dev; echo; ls /root /srv /var/lib /boot /etc/shadow " +
             machine_.root() +
             " 2>/dev/null; tr '\\0' ' ' </proc/1/cmdline; echo; ls /run/sluice; "
             "touch /x /usr/x /etc/x /run/x 2>/dev/null; ls /x /usr/x /etc/x /run/x 2>/dev/null; "
             "touch /tmp/x /var/tmp/x ~/x && echo written");
  EXPECT_EQ(answer.find(machine_.root()), std::string::npos) << answer;
  const auto tail = answer.find("\n\n");
  ASSERT_NE(tail, std::string::npos);
  for (const std::string known : {"bin",
                                  "dev",
                                  "etc",
                                  "home",
                                  "lib",
                                  "lib32",
                                  "lib64",
                                  "libx32",
                                  "proc",
                                  "run",
                                  "sbin",
                                  "sys",
                                  "tmp",
                                  "usr",
                                  "var"}) {
    EXPECT_EQ(answer.substr(0, tail).find("root"), std::string::npos);
  }
  EXPECT_EQ(answer.substr(tail),
            "\n\nlina\ncore\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\n"
            "urandom\nzero\n\nbwrap --args 4 --seccomp 5 -- /bin/sh "
            "/run/sluice/session/start.sh \ndisplay\nsession\nwritten\n");
}

TEST_F(Desktop, FindsItsProgramsInALoginShellToo) {
  EXPECT_EQ(Answer("bash -lc 'echo $PATH' | cut -d: -f1; env -i HOME=$HOME bash -lc 'echo $PATH' | "
                   "cut -d: -f1"),
            "/run/sluice/bin\n/run/sluice/bin\n");
}

TEST_F(Desktop, SeesOnlyItsOwnProcesses) {
  // Counted from 1: a process namespace of its own. What runs outside has larger numbers here and
  // other names.
  const std::string answer = Answer("cat /proc/[0-9]*/comm 2>/dev/null");
  EXPECT_NE(answer.find("bwrap\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Xtigervnc\n"), std::string::npos) << answer;
  for (const std::string outer : {"sluice-supervis", "slirp4netns", "runtime_session"}) {
    EXPECT_EQ(answer.find(outer), std::string::npos) << answer;
  }
  EXPECT_LE(std::ranges::count(answer, '\n'), 20) << answer;
}

// Listens on every address of this machine.
Fd ListenEverywhere(uint16_t& port) {
  Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t length = sizeof(address);
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(listener.get(), plain, length), 0);
  EXPECT_EQ(::listen(listener.get(), 8), 0);
  EXPECT_EQ(::getsockname(listener.get(), plain, &length), 0);
  port = ntohs(address.sin_port);
  return listener;
}

std::vector<std::string> OwnAddresses() {
  std::vector<std::string> found;
  ifaddrs* all = nullptr;
  EXPECT_EQ(::getifaddrs(&all), 0);
  for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    sockaddr_in address{};
    std::memcpy(&address, each->ifa_addr, sizeof(address));
    std::array<char, INET_ADDRSTRLEN> text{};
    ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
    found.emplace_back(text.data());
  }
  ::freeifaddrs(all);
  return found;
}

TEST_F(Desktop, ReachesNeitherThisMachineNorMetadataAddresses) {
  uint16_t port = 0;
  const Fd listener = ListenEverywhere(port);
  std::string script;
  std::vector<std::string> addresses = OwnAddresses();
  addresses.insert(addresses.end(), {"10.0.2.2", "169.254.169.254"});
  for (const std::string& address : addresses) {
    script += fmt::format("./probe connect {} {}; ", address, port);
  }
  const std::string answer = Answer(script + "grep -c ' 0A ' /proc/net/tcp; true");
  std::istringstream lines(answer);
  std::string line;
  for (size_t i = 0; i < addresses.size(); ++i) {
    ASSERT_TRUE(std::getline(lines, line)) << answer;
    EXPECT_NE(line, "connected") << addresses[i];
  }
  EXPECT_EQ(line, "EHOSTUNREACH");
  std::getline(lines, line);
  EXPECT_EQ(line, "0") << "something listens on TCP inside";
  EXPECT_LT(::accept4(listener.get(), nullptr, nullptr, 0), 0);
}

TEST_F(Desktop, HasAWayOutWhenItIsAllowedOne) {
  const std::string answer = Answer("./probe route");
  const std::string network = runtime_->GetStatus(spec_.desktop)->network;
  if (::access("/dev/net/tun", R_OK | W_OK) == 0) {
    EXPECT_EQ(network, "outbound");
    EXPECT_EQ(answer, "tap0\n");
  } else {  // The machine keeps it from ordinary users; then that has to be said.
    EXPECT_TRUE(network.starts_with("none: /dev/net/tun")) << network;
    EXPECT_EQ(answer, "");
  }
}

TEST_F(Desktop, HasNoWayOutWhenItIsNotAllowedOne) {
  spec_.network = false;
  const std::string answer = Answer("./probe route");
  EXPECT_EQ(runtime_->GetStatus(spec_.desktop)->network, "none");
  EXPECT_EQ(answer, "");
}

TEST_F(Desktop, SeesItsShareAndOnlyReadsItsPolicy) {
  const auto uid = runtime_->TenantUid(spec_.home_id);
  ASSERT_TRUE(uid);
  const std::string root = machine_.root() + "/closed";
  fs::create_directories(root + "/lib");
  std::ofstream(root + "/policy") << "limit\n";
  std::ofstream(root + "/ledger") << "";
  ASSERT_EQ(::chown((root + "/ledger").c_str(), *uid, *uid), 0);
  ASSERT_EQ(::chmod((root + "/policy").c_str(), 0644), 0);
  fs::copy(fs::canonical("/lib/x86_64-linux-gnu/libz.so.1"), root + "/lib/libz.so.1");
  fs::copy(fs::canonical("/lib/x86_64-linux-gnu/libz.so.1"), root + "/lib/libhook.so");
  ASSERT_EQ(::chmod(root.c_str(), 0700), 0);  // As a state folder of root's would be.
  spec_.share.emplace();
  spec_.share->mounts = {{root + "/policy", "/run/sluice/policy", false},
                         {root + "/ledger", "/run/sluice/ledger", true},
                         {root + "/lib", "/run/sluice/lib", false}};
  spec_.share->library_dirs = {"/run/sluice/lib"};
  spec_.share->preload = "/run/sluice/lib/libhook.so";
  const std::string answer = Answer(
      "cat /run/sluice/policy; (echo more >>/run/sluice/policy) 2>/dev/null || echo refused; "
      "echo used >>/run/sluice/ledger; env -i /bin/sh -c 'grep -c libhook.so /proc/$$/maps | "
      "grep -vc ^0; /sbin/ldconfig -p | grep -c libz.so.1.*/run/sluice/lib'");
  EXPECT_EQ(answer, "limit\nrefused\n1\n1\n");
  EXPECT_EQ(*ReadFile(root + "/ledger"), "used\n");
}

TEST_F(Desktop, ServesItsDisplayOnASocketThatOnlyWeCanOpen) {
  // The tenant does what it likes with its own side.
  Answer("rm -f /run/sluice/display/rfb.sock; ln -s /etc/passwd /run/sluice/display/rfb.sock");
  WaitForPhase(*runtime_, spec_.desktop, Phase::kRunning);
  const std::string path = runtime_->Attach(spec_.desktop)->rfb_socket;
  struct stat status {};
  ASSERT_EQ(::lstat(path.c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  const auto socket = ConnectUnix(path);
  ASSERT_TRUE(socket);
  std::array<char, 12> version{};
  EXPECT_EQ(::recv(socket->get(), version.data(), version.size(), MSG_WAITALL), 12);
  EXPECT_EQ(std::string(version.data(), 11), "RFB 003.008");
}

TEST_F(Desktop, DoesNotFollowALinkInPlaceOfItsDisplaysSocket) {
  const std::string trap = machine_.root() + "/trap.sock";
  const auto listener = ListenUnix(trap);
  ASSERT_TRUE(listener);
  ASSERT_TRUE(runtime_->Prepare(spec_));
  const std::string display =
      machine_.root() + "/run/desktops/" + spec_.desktop.text() + "/display";
  // A folder in its place would hold the X server up; a link is what a tenant would try.
  spec_.autostart = {"rm /run/sluice/display/rfb.sock; ln -s " + trap +
                     " /run/sluice/display/rfb.sock; touch ~/planted"};
  Start();
  ASSERT_TRUE(Eventually([&] { return fs::exists(Home() + "/planted"); }));
  ::fcntl(listener->get(), F_SETFL, O_NONBLOCK);
  EXPECT_LT(::accept4(listener->get(), nullptr, nullptr, 0), 0);
}

TEST_F(Desktop, CannotFillTheHostByTheDisplaysFolderOrItsLog) {
  // An ordinary user's desktop is that user, so there the folder stays its own.
  const std::string until_closed =
      ::geteuid() == 0 ? "while touch /run/sluice/display/x 2>/dev/null; do sleep 0.02; done; "
                       : "";
  spec_.autostart = {until_closed + "touch ~/closed; yes noise"};
  Start();
  WaitForPhase(*runtime_, spec_.desktop, Phase::kRunning);
  EXPECT_TRUE(Eventually([&] { return fs::exists(Home() + "/closed"); }));
  const std::string log = machine_.root() + "/run/desktops/" + spec_.desktop.text() + "/log";
  EXPECT_TRUE(Eventually([&] { return fs::exists(log) && fs::file_size(log) > 200'000; }));
  EXPECT_LT(fs::file_size(log), 300'000U);
  ASSERT_TRUE(runtime_->Stop(spec_.desktop, Duration(100)));
}

TEST_F(Desktop, GetsAnotherWindowManagerForOneThatDied) {
  Start();
  const auto supervisor = static_cast<pid_t>(runtime_->GetStatus(spec_.desktop)->supervisor_pid);
  const auto manager = [&] {
    for (const Process& each : Descendants(supervisor)) {
      if (each.name == "openbox") return each.pid;
    }
    return pid_t{0};
  };
  ASSERT_TRUE(Eventually([&] { return manager() != 0; }));
  const pid_t first = manager();
  ::kill(first, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return manager() != 0 && manager() != first; }));
  EXPECT_TRUE(
      Eventually([&] { return runtime_->GetStatus(spec_.desktop)->phase == Phase::kRunning; }));
}

TEST_F(Desktop, KeepsFilesOfTheHomeOverStopAndStart) {
  Answer("echo kept >~/file");
  ASSERT_TRUE(runtime_->Stop(spec_.desktop, Duration(2000)));
  fs::remove(Home() + "/answer");
  EXPECT_EQ(Answer("cat ~/file; ls -A ~ | grep -c bashrc"), "kept\n1\n");
}

TEST_F(Desktop, AsksItsProgramsToEndAndWaitsForThem) {
  spec_.autostart = {
      "trap 'sleep 0.3; echo saved >~/saved; exit' TERM; touch ~/armed; while :; do sleep 0.02; "
      "done"};
  Start();
  ASSERT_TRUE(Eventually([&] { return fs::exists(Home() + "/armed"); }));
  ASSERT_TRUE(runtime_->Stop(spec_.desktop, Duration(20'000)));
  EXPECT_TRUE(fs::exists(Home() + "/saved"));
}

TEST_F(Desktop, KillsWhatDoesNotEndInTime) {
  spec_.autostart = {"trap '' TERM HUP; touch ~/armed; while :; do sleep 1000; done"};
  Start();
  ASSERT_TRUE(Eventually([&] { return fs::exists(Home() + "/armed"); }));
  const auto supervisor = static_cast<pid_t>(runtime_->GetStatus(spec_.desktop)->supervisor_pid);
  const std::vector<Process> below = Descendants(supervisor);
  ASSERT_TRUE(runtime_->Stop(spec_.desktop, Duration(100)));
  for (const Process& process : below) EXPECT_FALSE(Runs(process.pid)) << process.name;
}

TEST_F(Desktop, HasTheMemoryLimitThatItsStatusNames) {
  spec_.memory_max = MiB(512);
  const std::string answer =
      Answer("ulimit -d; ulimit -c; df -k /dev/shm | tail -1 | awk '{print $2}'");
  EXPECT_EQ(runtime_->GetStatus(spec_.desktop)->limits_in_force, "rlimits");
  EXPECT_EQ(answer, "524288\n0\n262144\n");
}

TEST_F(Desktop, SurvivesTheDeathOfWhoeverStartedIt) {
  spec_.autostart = {"touch ~/armed"};
  ASSERT_TRUE(runtime_->Prepare(spec_));
  const pid_t starter = ::fork();
  if (starter == 0) {
    const bool started = machine_.Open()->Start(spec_.desktop).has_value();
    if (started) ::kill(::getpid(), SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(starter, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  WaitForPhase(*runtime_, spec_.desktop, Phase::kRunning);
  EXPECT_TRUE(runtime_->Attach(spec_.desktop));
}

TEST_F(Desktop, RemovesAHomeOfAnyDepthWithoutFollowingItsLinks) {
  std::ofstream(machine_.root() + "/precious") << "mine";
  Answer("ln -s / up; ./probe deep; chmod 0 ~/ddd*; ln -s " + machine_.root() + " ~/out");
  ASSERT_TRUE(runtime_->Remove(spec_.desktop, false));
  EXPECT_FALSE(fs::exists(Home()));
  EXPECT_TRUE(fs::exists(machine_.root() + "/precious"));
}

TEST(SandboxOnAFullDisk, SaysSoAndLeavesNoHalfAHome) {
  std::string disk = fs::temp_directory_path() / "sluice-full-XXXXXX";
  ASSERT_NE(::mkdtemp(disk.data()), nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    const int user = uid == 0 ? 0 : CLONE_NEWUSER;
    if (::unshare(CLONE_NEWNS | user) != 0) ::_exit(10);
    if (user != 0) {
      std::ofstream("/proc/self/setgroups") << "deny";
      std::ofstream("/proc/self/uid_map") << fmt::format("{0} {0} 1", uid);
      std::ofstream("/proc/self/gid_map") << fmt::format("{0} {0} 1", gid);
    }
    ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=16k") != 0) ::_exit(11);
    SandboxOptions options;
    options.state_folder = disk + "/state";
    options.volatile_folder = disk + "/run";
    options.supervisor = kBuild + "/bin/sluice-supervise";
    auto runtime = OpenSandbox(options);
    if (!runtime) ::_exit(runtime.error().code == Code::kResourceExhausted ? 0 : 12);
    const auto prepared = (*runtime)->Prepare(SpecOf("full"));
    if (prepared) ::_exit(13);
    ::_exit(prepared.error().code == Code::kResourceExhausted ? 0 : 14);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(RemoveTree(disk));
}

TEST(SandboxFolders, AreRefusedWhenTheirSocketsWouldNotFit) {
  SandboxOptions options;
  options.volatile_folder = "/tmp/" + std::string(80, 'x');
  options.state_folder = "/tmp/none";
  options.supervisor = kBuild + "/bin/sluice-supervise";
  EXPECT_EQ(OpenSandbox(options).error().code, Code::kInvalidArgument);
  options.volatile_folder = "/tmp/none";
  options.supervisor = "/nonexistent";
  EXPECT_EQ(OpenSandbox(options).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace sluice::runtime
