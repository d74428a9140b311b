// SPDX-License-Identifier: Apache-2.0
#include "instance/layout.h"

#include <filesystem>
#include <fmt/core.h>
#include <system_error>

namespace sluice::instance {

namespace fs = std::filesystem;

Result<Layout> FindLayout() {
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  if (failed) return Fail(Code::kInternal, "cannot find the running program: " + failed.message());
  return LayoutOf(program.string());
}

Result<Layout> LayoutOf(const std::string& program) {
  const fs::path bin = fs::path(program).parent_path();
  const fs::path top = bin.parent_path();
  Layout layout{.program = program,
                .supervisor = (bin / "sluice-supervise").string(),
                .interposer = (top / "lib/libsluice-cuda.so").string(),
                .fronts = (top / "lib/front").string(),
                .simgpu = (top / "lib/simgpu").string(),
                .web = (top / "web").string()};
  std::error_code ignored;
  for (const std::string& needed : {layout.supervisor,
                                    layout.interposer,
                                    layout.simgpu + "/libcuda.so.1",
                                    layout.simgpu + "/libnvidia-ml.so.1"}) {
    if (!fs::exists(needed, ignored)) {
      return Fail(Code::kNotFound,
                  fmt::format("{} is missing. Build everything with ./dev build", needed));
    }
  }
  if (!fs::exists(layout.web + "/index.html", ignored)) layout.web.clear();
  return layout;
}

}  // namespace sluice::instance
