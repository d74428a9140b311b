// SPDX-License-Identifier: Apache-2.0
#include "model/template.h"

#include <string_view>

namespace sluice {
namespace {

// A terminal that says what this desktop is, shows its share, and stays open as a shell. `words`
// has no quotes, so that it passes through two shells as it is.
std::string Greeting(std::string_view words) {
  return "xterm -title Terminal -fa 'DejaVu Sans Mono' -fs 11 -geometry 96x28+48+48 -e sh -c '"
         "printf \"%s\\n\\n\" \"" +
         std::string(words) + "\"; /run/sluice/bin/sluice gpu; exec \"${SHELL:-/bin/bash}\"'";
}

}  // namespace

std::vector<Template> BuiltInTemplates() {
  return {
      Template{
          .id = TemplateId("compile"),
          .name = "Compile",
          .summary = "C and C++ work: compiler, CMake, Ninja and a debugger.",
          .default_memory = GiB(4),
          .needs = {{"g++", "apt-get install g++"},
                    {"cmake", "apt-get install cmake"},
                    {"ninja", "apt-get install ninja-build"},
                    {"gdb", "apt-get install gdb"}},
          .autostart = {Greeting("Compile: g++, cmake, ninja and gdb are ready.")},
      },
      Template{
          .id = TemplateId("replay"),
          .name = "Data replay",
          .summary = "Play back recorded data: FFmpeg and Python.",
          .default_memory = GiB(6),
          .needs = {{"ffmpeg", "apt-get install ffmpeg"}, {"python3", "apt-get install python3"}},
          .autostart = {Greeting("Data replay: ffmpeg, ffplay and python3 are ready.")},
      },
      Template{
          .id = TemplateId("pytorch"),
          .name = "PyTorch",
          .summary = "Python with a virtual environment for PyTorch.",
          .default_memory = GiB(8),
          // python3-venv has no program of its own to look for, so its package rides along.
          .needs = {{"python3", "apt-get install python3 python3-venv"}},
          .autostart = {Greeting("PyTorch: python3 -m venv ~/venv; ~/venv/bin/pip install torch")},
      },
  };
}

}  // namespace sluice
