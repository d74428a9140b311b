// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/inside.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fmt/format.h>
#include <functional>
#include <string>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "runtime/sandbox/files.h"
#include "runtime/sandbox/process.h"
#include "runtime/sandbox/session_files.h"

namespace sluice::runtime {
namespace {

// Host files and folders of /etc that hold no secret and that programs expect.
constexpr std::array kSharedEtc = {"alternatives",
                                   "bash.bashrc",
                                   "bash_completion.d",
                                   "ca-certificates",
                                   "ca-certificates.conf",
                                   "debian_version",
                                   "default/locale",
                                   "fonts",
                                   "glvnd",
                                   "gtk-2.0",
                                   "gtk-3.0/im-multipress.conf",
                                   "host.conf",
                                   "inputrc",
                                   "java-17-openjdk",
                                   "ld.so.conf",
                                   "ld.so.conf.d",
                                   "locale.alias",
                                   "localtime",
                                   "magic",
                                   "magic.mime",
                                   "mailcap",
                                   "mime.types",
                                   "nanorc",
                                   "OpenCL",
                                   "os-release",

                                   "profile.d",
                                   "protocols",
                                   "python3",
                                   "python3.11",
                                   "rpc",
                                   "services",
                                   "shells",
                                   "ssl",
                                   "terminfo",
                                   "timezone",
                                   "vdpau_wrapper.cfg",
                                   "vim",
                                   "vulkan",
                                   "X11",
                                   "xdg"};

// Parts of /sys that say how many processors there are and how memory is laid out; the second
// table is for programs on a real card, which look their card up.
constexpr std::array kSharedSys = {"/sys/devices/system"};
constexpr std::array kSharedSysWithCard = {
    "/sys/bus/pci", "/sys/class/drm", "/sys/module/nvidia", "/sys/module/nvidia_uvm"};

constexpr std::string_view kInnerPath =
    "/run/sluice/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

constexpr size_t kLibraryCacheMax = size_t{64} << 20;

constexpr std::array kTopFolders = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};

std::string Home(const LaunchSpec& spec) {
  return "/home/" + spec.user_name;
}

std::string HostName(const LaunchSpec& spec) {
  std::string name;
  for (const char c : spec.name) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      name += c;
    } else if (c >= 'A' && c <= 'Z') {
      name += static_cast<char>(c - 'A' + 'a');
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
    if (name.size() == 32) break;
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? "desktop" : name;
}

struct TextFile {
  std::string path;
  std::string text;
  mode_t mode = 0644;
};

std::vector<TextFile> EtcFiles(const Launch& launch) {
  const LaunchSpec& spec = launch.spec;
  const std::string host = HostName(spec);
  std::string machine_id;  // Own per desktop, and the same at each start.
  for (size_t i = 0; i < 32; ++i) {
    const size_t hash = std::hash<std::string>()(fmt::format("{}{}", spec.desktop.text(), i));
    machine_id += "0123456789abcdef"[hash & 15];
  }
  return {
      {"passwd",
       fmt::format(
           "root:x:0:0:root:/root:/usr/sbin/nologin\n{0}:x:{1}:{1}:{0}:/home/{0}:/bin/bash\n"
           "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
           spec.user_name,
           kInnerUid)},
      {"group",
       fmt::format("root:x:0:\n{0}:x:{1}:\nnogroup:x:65534:\n", spec.user_name, kInnerUid)},
      {"hostname", host + "\n"},
      {"hosts", fmt::format("127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost\n", host)},
      {"nsswitch.conf",
       "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
       "protocols: files\nservices: files\n"},
      {"resolv.conf", "nameserver 10.0.2.3\noptions timeout:2\n"},
      {"machine-id", machine_id + "\n"},
      {"environment", ""},
      // The host's would set a PATH without ours in login shells.
      {"profile",
       fmt::format("export PATH={}\n"
                   "[ -n \"$BASH_VERSION\" ] && [ -r /etc/bash.bashrc ] && . /etc/bash.bashrc\n"
                   "for file in /etc/profile.d/*.sh; do [ -r \"$file\" ] && . \"$file\"; done\n"
                   "unset file\n",
                   kInnerPath)},
      {"ld.so.preload",
       spec.share && !spec.share->preload.empty() ? spec.share->preload + "\n" : ""},
  };
}

std::vector<TextFile> SessionFiles(const Launch& launch) {
  std::vector<TextFile> files;
  for (const EmbeddedFile& file : kSessionFiles) {
    const bool script = file.name.ends_with(".sh");
    // openbox finds a theme, with the pictures of its buttons, only in a folder of themes.
    const bool theme = file.name == "themerc" || file.name.ends_with(".xbm");
    const std::string name =
        (theme ? "share/themes/Sluice/openbox-3/" : "") + std::string(file.name);
    files.push_back({name, std::string(file.text), script ? 0755u : 0644u});
  }
  std::string autostart;
  for (const std::string& command : launch.spec.autostart) autostart += command + "\n";
  files.push_back({"autostart", autostart});
  files.push_back({"title", launch.spec.name + "\n"});
  return files;
}

Result<void> WriteFiles(const std::string& folder, const std::vector<TextFile>& files) {
  if (auto made = MakeFolder(folder, 0755); !made) return made;
  for (const TextFile& file : files) {
    const std::string path = folder + "/" + file.path;
    auto made = MakeFolder(std::filesystem::path(path).parent_path(), 0755);
    if (!made) return made;
    auto written = WriteFileAtomic(path, file.text, file.mode);
    if (!written) return written;
  }
  return {};
}

std::vector<std::string> BindArguments(const Bind& bind) {
  switch (bind.kind) {
    case Bind::Kind::kWritable:
      return {"--bind", bind.source, bind.target};
    case Bind::Kind::kDevice:
      return {"--dev-bind", bind.source, bind.target};
    case Bind::Kind::kReadOnlyIfThere:
      return {"--ro-bind-try", bind.source, bind.target};
    case Bind::Kind::kReadOnly:
      break;
  }
  return {"--ro-bind", bind.source, bind.target};
}

class Arguments {
 public:
  void Add(std::vector<std::string> words) {
    for (std::string& word : words) words_.push_back(std::move(word));
  }
  void Show(const Bind& bind) { Add(BindArguments(bind)); }
  std::vector<std::string> Take() { return std::move(words_); }

 private:
  std::vector<std::string> words_;
};

// Files in memory are the desktop's memory too, but no rlimit counts them.
Bytes MemoryFilesMax(const LaunchSpec& spec) {
  if (spec.memory_max > Bytes(0)) return Bytes(spec.memory_max.value() / 2);
  struct sysinfo machine {};
  ::sysinfo(&machine);
  const auto total = static_cast<int64_t>(machine.totalram) * machine.mem_unit;
  return std::max(Bytes(total / 4), MiB(64));
}

void AddSystem(Arguments& arguments) {
  arguments.Add({"--ro-bind", "/usr", "/usr"});
  for (const std::string name : kTopFolders) {
    const std::string path = "/" + name;
    std::error_code error;
    if (std::filesystem::is_symlink(path, error)) {
      const std::string target = std::filesystem::read_symlink(path, error);
      arguments.Add({"--symlink", target, path});
    } else if (std::filesystem::is_directory(path, error)) {
      arguments.Add({"--ro-bind", path, path});
    }
  }
}

// Of everything that ldconfig's answer depends on: the folders, what is mounted there, and the
// system's own list.
uint64_t LibrariesKey(const agent::PreparedShare& share) {
  std::string text;
  const auto add = [&](const std::string& path) {
    struct stat status {};
    ::stat(path.c_str(), &status);
    text += fmt::format("{} {} {} {} {}.{}\n",
                        path,
                        status.st_dev,
                        status.st_ino,
                        status.st_size,
                        status.st_mtim.tv_sec,
                        status.st_mtim.tv_nsec);
  };
  for (const std::string& dir : share.library_dirs) {
    text += dir + "\n";
    for (const agent::Mount& mount : share.mounts) {
      if (!mount.target.starts_with(dir) && !dir.starts_with(mount.target)) continue;
      text += mount.target + "\n";
      add(mount.source);
      std::error_code error;
      for (const auto& entry : std::filesystem::directory_iterator(mount.source, error)) {
        add(entry.path());
      }
    }
  }
  add("/etc/ld.so.cache");
  return std::hash<std::string>()(text);
}

// ldconfig looks at the folders, so it runs where they are where the desktop will see them.
Result<void> RunLdconfig(const std::string& etc, const agent::PreparedShare& share) {
  std::string conf;
  for (const std::string& dir : share.library_dirs) conf += dir + "\n";
  conf += "include /etc/ld.so.conf\n";
  if (auto made = WriteFileAtomic(etc + "/ld.so.conf.share", conf, 0644); !made) return made;
  const auto bwrap = FindProgram("bwrap");
  const auto ldconfig = FindProgram("ldconfig");
  if (!bwrap) return Fail(bwrap.error());
  if (!ldconfig) return Fail(ldconfig.error());
  Arguments words;
  words.Add({*bwrap, "--unshare-pid", "--die-with-parent"});
  AddSystem(words);
  words.Add({"--ro-bind", "/etc", "/etc", "--bind", etc, "/tmp"});
  for (const agent::Mount& mount : share.mounts) {
    words.Show(Bind{mount.source, mount.target, Bind::Kind::kReadOnlyIfThere});
  }
  words.Add({"--", *ldconfig, "-X", "-C", "/tmp/ld.so.cache", "-f", "/tmp/ld.so.conf.share"});
  return RunProgramOrExplain(words.Take(), Duration(20'000));
}

}  // namespace

Result<void> ComposeInside(const DesktopFolder& folder, const Launch& launch) {
  if (auto made = MakeFolder(folder.inside(), 0755); !made) return made;
  if (auto made = WriteFiles(folder.inside() + "/etc", EtcFiles(launch)); !made) return made;
  return WriteFiles(folder.inside() + "/session", SessionFiles(launch));
}

Result<void> ComposeLibraryCache(const DesktopFolder& folder,
                                 const Launch& launch,
                                 const std::string& made_before) {
  const std::string etc = folder.inside() + "/etc";
  const std::string target = etc + "/ld.so.cache";
  const bool own = launch.spec.share && !launch.spec.share->library_dirs.empty();
  const std::string known =
      own ? fmt::format("{}/{:016x}", made_before, LibrariesKey(*launch.spec.share))
          : "/etc/ld.so.cache";
  if (auto cache = ReadFile(known, kLibraryCacheMax)) return WriteFileAtomic(target, *cache, 0644);
  if (!own) return Fail(Code::kFailedPrecondition, "/etc/ld.so.cache is missing: run ldconfig");
  if (auto made = RunLdconfig(etc, *launch.spec.share); !made) return made;
  auto cache = ReadFile(target, kLibraryCacheMax);
  if (!cache) return Fail(cache.error());
  if (auto made = MakeFolder(made_before, 0700); !made) return made;
  return WriteFileAtomic(known, *cache, 0600);
}

std::vector<Bind> PrivateBinds(const DesktopFolder& folder, const Launch& launch) {
  using enum Bind::Kind;
  std::vector<Bind> binds = {
      {launch.home_folder, Home(launch.spec), kWritable},
      {folder.inside() + "/session", std::string(kInnerSession), kReadOnly},
      {folder.display(), std::string(kInnerDisplay), kWritable},
  };
  std::vector<std::string> names = {"ld.so.cache"};
  for (const TextFile& file : EtcFiles(launch)) names.push_back(file.path);
  for (const std::string& name : names) {
    binds.push_back({folder.inside() + "/etc/" + name, "/etc/" + name, kReadOnly});
  }
  binds.push_back(
      {folder.inside() + "/session/gtk-3.0.ini", "/etc/gtk-3.0/settings.ini", kReadOnly});
  if (launch.spec.share) {
    for (const agent::Mount& mount : launch.spec.share->mounts) {
      binds.push_back({mount.source, mount.target, mount.writable ? kWritable : kReadOnly});
    }
  }
  return binds;
}

std::vector<std::string> SandboxArguments(const Launch& launch, const std::vector<Bind>& binds) {
  const LaunchSpec& spec = launch.spec;
  const std::string uid = std::to_string(kInnerUid);
  Arguments words;
  words.Add({"--unshare-user", "--disable-userns", "--uid", uid, "--gid", uid});
  words.Add({"--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"});
  words.Add({"--hostname", HostName(spec), "--die-with-parent", "--new-session"});
  words.Add({"--cap-drop", "ALL", "--clearenv"});
  AddSystem(words);
  words.Add({"--proc", "/proc", "--dev", "/dev"});
  const bool card = spec.share && !spec.share->device_nodes.empty();
  if (card) {
    for (const std::string& node : spec.share->device_nodes) {
      words.Show(Bind{node, node, Bind::Kind::kDevice});
    }
    for (const char* path : kSharedSysWithCard) {
      words.Show(Bind{path, path, Bind::Kind::kReadOnlyIfThere});
    }
  }
  for (const char* path : kSharedSys) words.Show(Bind{path, path, Bind::Kind::kReadOnlyIfThere});
  for (const char* path : {"/dev/shm", "/tmp"}) {
    words.Add({"--perms", "1777", "--size", std::to_string(MemoryFilesMax(spec).value())});
    words.Add({"--tmpfs", path});
  }
  words.Add({"--perms", "1777", "--dir", "/tmp/.X11-unix"});
  words.Add({"--perms", "0755", "--dir", "/etc", "--perms", "0755", "--dir", "/var/cache"});
  words.Add({"--symlink", "/tmp", "/var/tmp"});
  words.Show(Bind{"/var/cache/fontconfig", "/var/cache/fontconfig", Bind::Kind::kReadOnlyIfThere});
  words.Add({"--symlink", "/run", "/var/run", "--perms", "0755", "--dir", "/run/sluice"});
  for (const std::string name : kSharedEtc) {
    words.Show(Bind{"/etc/" + name, "/etc/" + name, Bind::Kind::kReadOnlyIfThere});
  }
  words.Add({"--symlink", "/proc/self/mounts", "/etc/mtab"});
  words.Add({"--perms", "0755", "--dir", "/run/user", "--perms", "0700"});
  words.Add({"--size", std::to_string(MiB(64).value()), "--tmpfs", "/run/user/" + uid});
  for (const Bind& bind : binds) words.Show(bind);
  words.Add({"--remount-ro", "/", "--chdir", Home(spec)});
  const std::array<std::pair<const char*, std::string>, 10> environment = {{
      {"HOME", Home(spec)},
      {"USER", spec.user_name},
      {"LOGNAME", spec.user_name},
      {"SHELL", "/bin/bash"},
      {"PATH", std::string(kInnerPath)},
      {"LANG", "C.UTF-8"},
      {"XDG_DATA_DIRS", "/usr/local/share:/usr/share:/run/sluice/session/share"},
      {"XDG_RUNTIME_DIR", "/run/user/" + uid},
      {"SLUICE_SIZE", fmt::format("{}x{}", spec.width, spec.height)},
      {"SLUICE_KEYBOARD", spec.keyboard_layout},
  }};
  for (const auto& [name, value] : environment) words.Add({"--setenv", name, value});
  if (spec.share) {
    for (const std::string& variable : spec.share->environment) {
      const size_t equals = std::min(variable.find('='), variable.size() - 1);
      words.Add({"--setenv", variable.substr(0, equals), variable.substr(equals + 1)});
    }
  }
  return words.Take();
}

}  // namespace sluice::runtime
