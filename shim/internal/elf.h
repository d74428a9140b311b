// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sluice::shim {

// The address of a function that a loaded C library or loader defines (libc, libdl, libpthread; any
// version), or nullptr. Reads the objects' symbol tables in memory, so that neither dlsym nor a
// versioned reference to it is needed: the name moved between libraries in glibc 2.34. No system
// calls.
void* FindInLibc(const char* name);

}  // namespace sluice::shim
