// SPDX-License-Identifier: Apache-2.0
// What the points of points.h do in the build that tests have for them.
#include <cstring>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/internal/points.h"

namespace {

constinit thread_local int passes_left = 0;  // Of the thread that is to stop.
constinit thread_local bool ends = false;    // It ends there.
constinit char wanted[16] = {};
constinit int asks = -1;

}  // namespace

// The calling thread stops when it comes to that point the nth time: says so on the socket, and
// ends its process or goes on as is answered there. 0: it does not stop any more.
extern "C" [[gnu::visibility("default")]] void SluiceStopAt(const char* name, int nth, int socket) {
  strncpy(wanted, name, sizeof(wanted) - 1);
  ends = false;
  asks = socket;
  passes_left = nth;
}

// The same, but it sends itself SIGUSR1, whose handler is to end it.
extern "C" [[gnu::visibility("default")]] void SluiceEndAt(const char* name, int nth) {
  strncpy(wanted, name, sizeof(wanted) - 1);
  ends = true;
  passes_left = nth;
}

namespace sluice {

void PassPoint(const char* name) {
  if (passes_left <= 0 || strcmp(wanted, name) != 0 || --passes_left > 0) {
    return;
  }
  if (ends) {
    raise(SIGUSR1);
    return;
  }
  const int kept = errno;
  char answer[8] = {};
  if (send(asks, "at", 2, 0) != 2 || recv(asks, answer, sizeof(answer), 0) <= 0 ||
      answer[0] != 'g') {
    kill(getpid(), SIGKILL);
  }
  errno = kept;
}

}  // namespace sluice
