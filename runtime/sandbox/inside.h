// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/sandbox/launch.h"

// What a desktop sees of a file system: the part that is written for it, and the list of mounts.
namespace sluice::runtime {

inline constexpr uint32_t kInnerUid = 1000;

// Where the session's files and the display's socket are, inside.
inline constexpr std::string_view kInnerSession = "/run/sluice/session";
inline constexpr std::string_view kInnerDisplay = "/run/sluice/display";

// Writes <inside>/etc (users, names, libraries …) and <inside>/session (start script, window
// manager, panel). Repeating it replaces them. Fails as the file system does.
Result<void> ComposeInside(const DesktopFolder& folder, const Launch& launch);

// Makes <inside>/etc/ld.so.cache with the share's library folders in front of the system's. The
// loader finds them without an environment variable, so a program started with an empty one does
// too. Without library folders it is the system's own. What was made for the same libraries before
// is taken from the folder `made_before`. Fails with kFailedPrecondition when ldconfig or
// bubblewrap is missing or fails.
Result<void> ComposeLibraryCache(const DesktopFolder& folder,
                                 const Launch& launch,
                                 const std::string& made_before);

// A host path to be shown inside.
struct Bind {
  enum class Kind { kReadOnly, kWritable, kDevice, kReadOnlyIfThere };
  std::string source;
  std::string target;
  Kind kind = Kind::kReadOnly;
};

// Mounts whose host paths a tenant's user may not be able to reach: home, composed files, display,
// share. The supervisor re-binds their sources to where it can.
std::vector<Bind> PrivateBinds(const DesktopFolder& folder, const Launch& launch);

// The arguments of bwrap, without its name, the program's own and file descriptors. `binds` are the
// private ones, with sources as bwrap will see them.
std::vector<std::string> SandboxArguments(const Launch& launch, const std::vector<Bind>& binds);

}  // namespace sluice::runtime
