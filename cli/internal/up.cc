// SPDX-License-Identifier: Apache-2.0
#include "cli/internal/up.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <fmt/core.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/internal/api.h"
#include "cli/internal/print.h"
#include "instance/folders.h"
#include "instance/version.h"

namespace sluice::cli {
namespace {

// A signal handler reaches nothing but statics.
// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables)
int wake_fd = -1;
volatile std::sig_atomic_t signals_seen = 0;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

void OnSignal(int) {
  const int error = errno;
  // Whoever asks twice does not want to wait.
  if (signals_seen != 0) _exit(130);
  signals_seen = 1;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd, &one, sizeof one);
  errno = error;
}

void Nothing(int) {}

// Handlers, not masks and not SIG_IGN: those would be inherited by every desktop.
void CatchSignals() {
  wake_fd = eventfd(0, EFD_CLOEXEC);
  struct sigaction action {};
  action.sa_handler = OnSignal;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  action.sa_handler = Nothing;
  sigaction(SIGPIPE, &action, nullptr);
}

void Greet(const instance::Greeting& greeting, const std::string& state) {
  std::string text = fmt::format("Sluice {} is up.\n\n", instance::kVersion);
  const auto row = [&text](std::string_view name, std::string_view value) {
    text += fmt::format("  {:<12}{}\n", name, value);
  };
  row("address", greeting.url);
  if (!greeting.fingerprint.empty()) row("certificate", "SHA-256 " + greeting.fingerprint);
  for (const std::string& card : greeting.cards) row("cards", card);
  if (!greeting.one_time_password.empty()) {
    row("name", greeting.admin_name);
    row("password", greeting.one_time_password + "   (one time; shown only now)");
  }
  row("state", state);
  for (const std::string& note : greeting.notes) row("note", note);
  text += "\nCtrl-C stops it; desktops go on and are found again at the next start.\n";
  Out(text);
}

}  // namespace

int Up(const instance::InstanceOptions& options) {
  CatchSignals();
  auto machine = instance::Instance::Start(options);
  if (!machine) Stop(kError, machine.error().message);
  std::string state = options.state_folder;
  if (state.empty()) state = instance::DefaultStateFolder().value_or("");
  Greet((*machine)->greeting(), state);
  uint64_t count = 0;
  while (signals_seen == 0) {
    if (read(wake_fd, &count, sizeof count) < 0 && errno != EINTR) break;
  }
  Out("Stopping. Desktops go on.\n");
  machine->reset();
  return kOk;
}

}  // namespace sluice::cli
