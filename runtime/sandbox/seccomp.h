// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "runtime/sandbox/files.h"

namespace sluice::runtime {

// The system call filter of a sandbox, as a BPF program in a memory file positioned at its start,
// for `bwrap --seccomp`. It refuses, with EPERM, what reaches around a container: mounting, new
// namespaces, kernel keys, BPF, io_uring, modules, clocks, raw handles, typing into terminals;
// and clone3 with ENOSYS, because its flags cannot be seen (the C library then uses clone). 32-bit
// programs get the same rules. Fails with kInternal when the kernel has no seccomp.
Result<Fd> SeccompProgram();

}  // namespace sluice::runtime
