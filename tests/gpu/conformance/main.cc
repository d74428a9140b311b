// SPDX-License-Identifier: Apache-2.0
// What a CUDA driver answers to a list of calls, one JSON line a case: conformance LIBCUDA. It is
// carried to bare machines.
#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"

namespace sluice::gpu {
namespace {

std::string RunCase(const Case& each, const char* path) {
  int ends[2];
  if (::pipe(ends) != 0) return "pipe\t1\n";
  pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    ::alarm(60);
    ::dup2(ends[1], STDOUT_FILENO);
    if (Driver(path) == nullptr) {
      Say("cannot be loaded", 1);
    } else {
      each.run();
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(ends[0], buffer, sizeof(buffer))) > 0) {
    said.append(buffer, static_cast<size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) said += "ended by signal\t" + std::to_string(WTERMSIG(status)) + "\n";
  return said;
}

// {"case": …, "answers": [["what", number], …]}. No text in it needs escaping.
void Print(const char* name, const std::string& said) {
  std::printf("{\"case\": \"%s\", \"answers\": [", name);
  const char* separator = "";
  for (size_t at = 0; at < said.size();) {
    size_t end = said.find('\n', at);
    size_t tab = said.find('\t', at);
    if (end == std::string::npos || tab == std::string::npos) break;
    std::printf("%s[\"%s\", %s]",
                separator,
                said.substr(at, tab - at).c_str(),
                said.substr(tab + 1, end - tab - 1).c_str());
    separator = ", ";
    at = end + 1;
  }
  std::printf("]}\n");
  std::fflush(stdout);
}

}  // namespace
}  // namespace sluice::gpu

int main(int count, char** arguments) {
  using namespace sluice::gpu;
  if (count != 2) {
    std::fprintf(stderr, "usage: conformance LIBCUDA\n");
    return 2;
  }
  for (const auto* cases : {&StateCases(), &MemoryCases(), &WorkCases()}) {
    for (const Case& each : *cases) Print(each.name, RunCase(each, arguments[1]));
  }
  return 0;
}
