// SPDX-License-Identifier: Apache-2.0
#include "cli/internal/top.h"

#include <csignal>
#include <fmt/core.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/internal/fields.h"
#include "cli/internal/print.h"

namespace sluice::cli {
namespace {

// A signal handler reaches nothing but statics.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
volatile std::sig_atomic_t stop_asked = 0;

void AskToStop(int) {
  stop_asked = 1;
}

size_t TerminalWidth() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 0;
}

// "######....": how much of a card is held, and of that how much is in use.
std::string Bar(const Json& gpu, int columns) {
  const int64_t total = Number(gpu, "memory_bytes");
  if (total <= 0) return "";
  const auto part = [&](int64_t bytes) { return static_cast<int>(bytes * columns / total); };
  const int used = std::min(part(Number(gpu, "used_bytes")), columns);
  const int held = std::max(used, std::min(part(Number(gpu, "held_bytes")), columns));
  return std::string(static_cast<size_t>(used), '#') +
         std::string(static_cast<size_t>(held - used), '+') +
         std::string(static_cast<size_t>(columns - held), '.');
}

std::string Picture(Api& api, size_t width) {
  Table cards({"GPU", "MODEL", "# USED  + HELD  . FREE", "USED", "HELD", "MEMORY", "BUSY", "TEMP"});
  Table shares({"GPU", "DESKTOP OR COMMAND", "OWNER", "USED", "LIMIT", "STATE"});
  for (const Json& gpu : GpusInOrder(api)) {
    const std::string index = std::to_string(Number(gpu, "index"));
    cards.Add({index,
               Text(gpu, "model"),
               Bar(gpu, 24),
               BytesText(gpu, "used_bytes"),
               BytesText(gpu, "held_bytes"),
               BytesText(gpu, "memory_bytes"),
               fmt::format("{}%", Number(gpu, "utilization_percent")),
               fmt::format("{} C", Number(gpu, "temperature_c"))});
    for (const Json& share : Array(gpu, "shares")) {
      const std::string run = Text(share, "run_command");
      shares.Add({index,
                  run.empty() ? Text(share, "name") : run,
                  Text(share, "owner"),
                  BytesText(share, "used_bytes"),
                  BytesText(share, "memory_bytes"),
                  Flag(share, "busy") ? "busy" : "idle"});
    }
  }
  std::string picture = cards.Lines("No GPU in this machine.", width) + "\n" +
                        shares.Lines("No share is held.", width);
  Table queue({"WAITS", "OWNER", "MEMORY", "REASON"});
  const Json waiting = api.All("/v1/queue");
  for (const Json& item : waiting) {
    queue.Add({std::to_string(Number(item, "position")),
               Text(item, "owner"),
               BytesText(item, "memory_bytes"),
               Text(item, "reason")});
  }
  if (!waiting.empty()) picture += "\n" + queue.Lines("", width);
  return picture;
}

}  // namespace

int Top(Api& api, bool once) {
  if (once || isatty(STDOUT_FILENO) == 0) {
    Out(Picture(api, 0));
    return kOk;
  }
  struct sigaction action {};
  action.sa_handler = AskToStop;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // The other screen, so that the terminal is as it was afterwards.
  Out("\x1b[?1049h");
  int exit_code = kOk;
  Failure failure;
  while (stop_asked == 0) {
    try {
      Out("\x1b[H\x1b[2J" + Picture(api, TerminalWidth()) + "\nCtrl-C ends this view.\n");
    } catch (const CommandFailed& failed) {
      failure = failed.failure;
      exit_code = failure.exit_code;
      break;
    }
    poll(nullptr, 0, 1'000);
  }
  Out("\x1b[?1049l");
  if (exit_code != kOk) throw CommandFailed{failure};
  return exit_code;
}

}  // namespace sluice::cli
