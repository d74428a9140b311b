// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace sluice::runtime {

// A file of runtime/sandbox/session/, built into the program.
struct EmbeddedFile {
  std::string_view name;
  std::string_view text;
};

// All of them, by name. Generated from the folder when the build is configured.
extern const std::span<const EmbeddedFile> kSessionFiles;

}  // namespace sluice::runtime
