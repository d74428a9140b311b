// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/seccomp.h"

#include <array>
#include <cerrno>
#include <memory>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::runtime {
namespace {

// Refused whatever the arguments. By name, so that a call that only some architectures have is a
// row like the others.
constexpr std::array kRefused = {
    // Mounts and roots.
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    // Namespaces.
    "setns",
    "unshare",
    // Keys are not divided by namespaces.
    "add_key",
    "keyctl",
    "request_key",
    // Wide attack surface that a desktop has no need of.
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "lookup_dcookie",
    "fanotify_init",
    // File handles lead out of a mount.
    "name_to_handle_at",
    "open_by_handle_at",
    // The machine itself.
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "query_module",
    "get_kernel_syms",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "nfsservctl",
    "sysfs",
    "_sysctl",
    "uselib",
    "ustat",
    "vhangup",
    "vm86",
    "vm86old",
    "iopl",
    "ioperm",
    // Clocks.
    "settimeofday",
    "stime",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "adjtimex",
};

constexpr uint64_t kNamespaceFlags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                     CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;

using Filter = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

// One rule; a call that this libseccomp does not know cannot be made by its number either way
// here, so it is passed over.
int Refuse(scmp_filter_ctx filter, const char* name, int error_number) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return 0;
  return seccomp_rule_add(filter, SCMP_ACT_ERRNO(static_cast<uint32_t>(error_number)), number, 0);
}

int RefuseMatching(scmp_filter_ctx filter, const char* name, scmp_arg_cmp compare) {
  return seccomp_rule_add_array(
      filter, SCMP_ACT_ERRNO(EPERM), seccomp_syscall_resolve_name(name), 1, &compare);
}

scmp_arg_cmp Masked(unsigned argument, uint64_t mask, uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

int AddRules(scmp_filter_ctx filter) {
  int failed = 0;
  for (const char* name : kRefused) failed |= Refuse(filter, name, EPERM);
  failed |= Refuse(filter, "clone3", ENOSYS);
  for (uint64_t rest = kNamespaceFlags; rest != 0; rest &= rest - 1) {
    const uint64_t flag = rest & (~rest + 1);
    failed |= RefuseMatching(filter, "clone", Masked(0, flag, flag));
  }
  // The kernel looks at the low half of an ioctl number only.
  constexpr uint64_t kLow = 0xffffffff;
  failed |= RefuseMatching(filter, "ioctl", Masked(1, kLow, TIOCSTI));
  constexpr uint64_t kTiocLinux = 0x541C;
  failed |= RefuseMatching(filter, "ioctl", Masked(1, kLow, kTiocLinux));
  // Kernel-side families that ignore network namespaces, or serve nothing here.
  for (const int family : {AF_VSOCK, AF_ALG, AF_KEY, AF_PACKET}) {
    failed |= RefuseMatching(filter, "socket", Masked(0, kLow, static_cast<uint64_t>(family)));
  }
  return failed;
}

}  // namespace

Result<Fd> SeccompProgram() {
  const Filter filter(seccomp_init(SCMP_ACT_ALLOW), seccomp_release);
  if (!filter) return Fail(Code::kInternal, "this kernel has no system call filters");
  if (seccomp_arch_native() == SCMP_ARCH_X86_64 &&
      seccomp_arch_add(filter.get(), SCMP_ARCH_X86) != 0) {
    return Fail(Code::kInternal, "cannot filter 32-bit system calls");
  }
  // Calls of an architecture without rules would go round them.
  seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
  if (AddRules(filter.get()) != 0)
    return Fail(Code::kInternal, "cannot make the system call filter");
  Fd file(::memfd_create("sluice-seccomp", MFD_CLOEXEC));
  if (!file.valid()) return Fail(ErrnoError(errno, "make the system call filter"));
  if (seccomp_export_bpf(filter.get(), file.get()) != 0 || ::lseek(file.get(), 0, SEEK_SET) != 0) {
    return Fail(Code::kInternal, "cannot write the system call filter");
  }
  return file;
}

}  // namespace sluice::runtime
