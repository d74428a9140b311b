// SPDX-License-Identifier: Apache-2.0
// Prints what agent/inside.h answers, for tests: "look" or "test".
#include <cstdio>
#include <cstring>

#include "agent/inside.h"

namespace {

int Look() {
  const auto view = sluice::agent::LookInside();
  if (!view) {
    printf("%s\n", view.error().message.c_str());
    return 1;
  }
  printf("claim %s\nlabel %s\n", view->claim.c_str(), view->label.c_str());
  for (const auto& device : view->devices) {
    printf("device %s limit %lld used %lld simulated %d\n",
           device.uuid.c_str(),
           static_cast<long long>(device.limit.value()),
           static_cast<long long>(device.used.value()),
           device.simulated ? 1 : 0);
  }
  for (const auto& process : view->processes) {
    printf("process %lld %s %lld\n",
           static_cast<long long>(process.pid),
           process.command.c_str(),
           static_cast<long long>(process.memory.at(0).value()));
  }
  return 0;
}

int Test() {
  const auto report = sluice::agent::TestGpu();
  if (!report) {
    printf("%s\n", report.error().message.c_str());
    return 1;
  }
  printf("%s, %s, simulated %d\n",
         report->device.c_str(),
         report->driver_version.c_str(),
         report->simulated ? 1 : 0);
  for (const auto& step : report->steps) {
    printf("%s %s: %s (%lld us)\n",
           step.passed ? "pass" : "FAIL",
           step.name.c_str(),
           step.detail.c_str(),
           static_cast<long long>(step.micros));
  }
  return report->passed() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return argc > 1 && strcmp(argv[1], "test") == 0 ? Test() : Look();
}
