// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/launch.h"

#include <algorithm>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>

#include "runtime/sandbox/inside.h"
#include "runtime/sandbox/sockets.h"
#include "runtime/sandbox/temp_folder.h"
#include "runtime/sandbox/tenants_file.h"

namespace sluice::runtime {
namespace {

Launch SomeLaunch() {
  Launch launch;
  launch.spec.desktop = DesktopId("dsk_1");
  launch.spec.name = "Li Na's \"desk\"";
  launch.spec.user_name = "lina";
  launch.spec.home_id = "home_1";
  launch.spec.autostart = {"xterm"};
  launch.spec.memory_max = GiB(4);
  launch.spec.share.emplace();
  launch.spec.share->mounts = {{"/state/policy", "/run/sluice/policy", false},
                               {"/state/ledger", "/run/sluice/ledger", true}};
  launch.spec.share->device_nodes = {"/dev/nvidia0"};
  launch.spec.share->library_dirs = {"/run/sluice/simgpu/lib"};
  launch.spec.share->preload = "/run/sluice/lib/libsluice-cuda.so";
  launch.spec.share->environment = {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=30"};
  launch.home_folder = "/state/homes/home_1";
  launch.uid = 100'001;
  launch.change_user = true;
  return launch;
}

TEST(LaunchFile, ComesBackAsItWasSaved) {
  const TempFolder temp;
  const DesktopFolder folder{temp / ""};
  const Launch saved = SomeLaunch();
  ASSERT_TRUE(SaveLaunch(folder, saved));
  const auto loaded = LoadLaunch(folder);
  ASSERT_TRUE(loaded) << ToString(loaded.error());
  EXPECT_EQ(loaded->spec.name, saved.spec.name);
  EXPECT_EQ(loaded->spec.autostart, saved.spec.autostart);
  EXPECT_EQ(loaded->spec.memory_max, saved.spec.memory_max);
  ASSERT_TRUE(loaded->spec.share);
  EXPECT_EQ(loaded->spec.share->mounts, saved.spec.share->mounts);
  EXPECT_EQ(loaded->spec.share->device_nodes, saved.spec.share->device_nodes);
  EXPECT_EQ(loaded->spec.share->preload, saved.spec.share->preload);
  EXPECT_EQ(loaded->spec.share->environment, saved.spec.share->environment);
  EXPECT_EQ(loaded->uid, saved.uid);
  EXPECT_EQ(loaded->change_user, saved.change_user);
}

TEST(LaunchFile, IsRefusedWhenItIsDamaged) {
  const TempFolder temp;
  const DesktopFolder folder{temp / ""};
  EXPECT_EQ(LoadLaunch(folder).error().code, Code::kNotFound);
  for (const char* text : {"", "{", "[]", "{\"spec\": 3}"}) {
    std::ofstream(folder.launch()) << text;
    std::ofstream(folder.status()) << text;
    EXPECT_EQ(LoadLaunch(folder).error().code, Code::kDataLoss) << text;
    EXPECT_EQ(LoadStatus(folder).error().code, Code::kDataLoss) << text;
  }
}

TEST(StatusFile, ComesBackAsItWasSaved) {
  const TempFolder temp;
  const DesktopFolder folder{temp / ""};
  for (const Phase phase :
       {Phase::kPrepared, Phase::kStarting, Phase::kDisplayUp, Phase::kRunning, Phase::kExited}) {
    const Status saved = {phase, "because", "rlimits", "outbound", 17, TimePoint(Duration(5))};
    ASSERT_TRUE(SaveStatus(folder, saved));
    const auto loaded = LoadStatus(folder);
    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->phase, phase);
    EXPECT_EQ(loaded->reason, "because");
    EXPECT_EQ(loaded->network, "outbound");
    EXPECT_EQ(loaded->supervisor_pid, 17);
    EXPECT_EQ(loaded->started_at, saved.started_at);
  }
}

TEST(Supervision, IsSeenByTheLockAlone) {
  const TempFolder temp;
  const DesktopFolder folder{temp / ""};
  EXPECT_FALSE(IsSupervised(folder));
  std::ofstream(folder.lock()) << "";
  EXPECT_FALSE(IsSupervised(folder));
  const Fd held(::open(folder.lock().c_str(), O_RDWR | O_CLOEXEC));
  struct flock whole {};
  whole.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(held.get(), F_OFD_SETLK, &whole), 0);
  EXPECT_TRUE(IsSupervised(folder));
}

TEST(TenantsFile, GivesEachHomeAUserOfItsOwnUntilThereAreNone) {
  const TempFolder folder;
  const TenantsFile tenants(folder / "tenants.json", 500, 2);
  EXPECT_EQ(*tenants.UserOf("a"), 500U);
  EXPECT_EQ(*tenants.UserOf("b"), 501U);
  EXPECT_EQ(*TenantsFile(folder / "tenants.json", 500, 2).UserOf("a"), 500U);
  EXPECT_EQ(tenants.UserOf("c").error().code, Code::kResourceExhausted);
  ASSERT_TRUE(tenants.Forget("a"));
  ASSERT_TRUE(tenants.Forget("a"));
  EXPECT_EQ(*tenants.UserOf("c"), 500U);
  std::ofstream(folder / "tenants.json") << "{";
  EXPECT_EQ(tenants.UserOf("a").error().code, Code::kDataLoss);
}

bool Has(const std::vector<std::string>& words, const std::vector<std::string>& part) {
  return std::search(words.begin(), words.end(), part.begin(), part.end()) != words.end();
}

TEST(SandboxArguments, NameTheNamespacesAndTheLimits) {
  const auto words = SandboxArguments(SomeLaunch(), {});
  for (const std::string word : {"--unshare-user",
                                 "--disable-userns",
                                 "--unshare-pid",
                                 "--unshare-ipc",
                                 "--unshare-uts",
                                 "--die-with-parent",
                                 "--new-session",
                                 "--clearenv"}) {
    EXPECT_TRUE(Has(words, {word})) << word;
  }
  EXPECT_TRUE(Has(words, {"--cap-drop", "ALL"}));
  EXPECT_TRUE(Has(words, {"--ro-bind", "/usr", "/usr"}));
  EXPECT_TRUE(Has(words, {"--dev-bind", "/dev/nvidia0", "/dev/nvidia0"}));
  EXPECT_TRUE(Has(words, {"--size", "2147483648", "--tmpfs", "/tmp"}));
  EXPECT_TRUE(Has(words, {"--hostname", "li-na-s-desk"}));
  EXPECT_TRUE(Has(words, {"--remount-ro", "/"}));
  EXPECT_TRUE(Has(words, {"--setenv", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "30"}));
  // The home is a private bind; nothing else of the host's may be written.
  EXPECT_FALSE(Has(words, {"--bind"}));
}

TEST(SandboxArguments, ShowTheSharesPolicyReadOnlyAndItsLedgerWritable) {
  const Launch launch = SomeLaunch();
  const DesktopFolder folder{"/v/desktops/dsk_1"};
  const auto words = SandboxArguments(launch, PrivateBinds(folder, launch));
  EXPECT_TRUE(Has(words, {"--ro-bind", "/state/policy", "/run/sluice/policy"}));
  EXPECT_TRUE(Has(words, {"--bind", "/state/ledger", "/run/sluice/ledger"}));
  EXPECT_TRUE(Has(words, {"--bind", "/state/homes/home_1", "/home/lina"}));
  EXPECT_TRUE(
      Has(words, {"--ro-bind", folder.inside() + "/etc/ld.so.preload", "/etc/ld.so.preload"}));
}

TEST(Inside, IsWrittenWithTheUsersNameAndWithoutTheHostsUsers) {
  const TempFolder temp;
  const DesktopFolder folder{temp / "dsk_1"};
  Launch launch = SomeLaunch();
  launch.spec.share.reset();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(ComposeInside(folder, launch));
  ASSERT_TRUE(ComposeLibraryCache(folder, launch, temp / "made"));
  const auto passwd = ReadFile(folder.inside() + "/etc/passwd");
  ASSERT_TRUE(passwd);
  EXPECT_NE(passwd->find("lina:x:1000:1000:lina:/home/lina:/bin/bash"), std::string::npos);
  EXPECT_EQ(std::ranges::count(*passwd, '\n'), 3);
  EXPECT_EQ(*ReadFile(folder.inside() + "/etc/ld.so.preload"), "");
  EXPECT_EQ(*ReadFile(folder.inside() + "/session/autostart"), "xterm\n");
  EXPECT_EQ(*ReadFile(folder.inside() + "/etc/ld.so.cache", size_t{64} << 20),
            *ReadFile("/etc/ld.so.cache", size_t{64} << 20));
  // Every file that is bound exists.
  for (const Bind& bind : PrivateBinds(folder, launch)) {
    if (!bind.source.starts_with(folder.inside())) continue;
    EXPECT_TRUE(std::filesystem::exists(bind.source)) << bind.source;
  }
}

TEST(LibraryCache, IsMadeOnceForTheSameLibraries) {
  const TempFolder temp;
  const DesktopFolder folder{temp / "dsk_1"};
  std::filesystem::create_directories(temp / "lib");
  std::filesystem::copy(std::filesystem::canonical("/lib/x86_64-linux-gnu/libz.so.1"),
                        temp / "lib/libz.so.1");
  Launch launch = SomeLaunch();
  launch.spec.share->mounts = {{temp / "lib", "/run/sluice/lib", false}};
  launch.spec.share->library_dirs = {"/run/sluice/lib"};
  ASSERT_TRUE(ComposeInside(folder, launch));
  const auto count = [&] {
    return std::distance(std::filesystem::directory_iterator(temp / "made"),
                         std::filesystem::directory_iterator());
  };
  for (int i = 0; i < 2; ++i) {
    const auto made = ComposeLibraryCache(folder, launch, temp / "made");
    ASSERT_TRUE(made) << ToString(made.error());
    EXPECT_EQ(count(), 1);
    EXPECT_NE(ReadFile(folder.inside() + "/etc/ld.so.cache", size_t{64} << 20)
                  ->find("/run/sluice/lib/libz.so.1"),
              std::string::npos);
  }
  std::filesystem::copy(temp / "lib/libz.so.1", temp / "lib/libother.so.1");
  ASSERT_TRUE(ComposeLibraryCache(folder, launch, temp / "made"));
  EXPECT_EQ(count(), 2);
}

TEST(Sockets, RefuseAPathThatDoesNotFit) {
  const std::string path = "/tmp/" + std::string(kSocketPathMax, 'x');
  EXPECT_EQ(ListenUnix(path).error().code, Code::kInvalidArgument);
  EXPECT_EQ(ConnectUnix(path).error().code, Code::kInvalidArgument);
  EXPECT_EQ(ConnectUnix("/nonexistent/socket").error().code, Code::kNotFound);
}

}  // namespace
}  // namespace sluice::runtime
