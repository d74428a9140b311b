// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"

// For tests and benchmarks: a real Xtigervnc on a unix socket, with programs on it.
namespace sluice::stream::testing {

class RealDisplay {
 public:
  // Starts the X server on `folder`/rfb.sock and waits, at most ten seconds, until it answers.
  static Result<std::unique_ptr<RealDisplay>> Start(const std::string& folder,
                                                    const std::string& geometry);
  ~RealDisplay();  // Ends the programs and the server.
  RealDisplay(const RealDisplay&) = delete;
  RealDisplay& operator=(const RealDisplay&) = delete;

  const std::string& socket() const { return socket_; }
  // Starts a program on the display; its output goes to a file in the folder.
  Result<void> Run(const std::vector<std::string>& arguments);
  // SIGKILL for the X server.
  void Kill();

 private:
  RealDisplay(std::string folder, std::string socket)
      : folder_(std::move(folder)), socket_(std::move(socket)) {}
  Result<void> Launch(const std::string& geometry);

  const std::string folder_;
  const std::string socket_;
  std::string name_;  // ":7".
  pid_t server_ = -1;
  std::vector<pid_t> programs_;
};

}  // namespace sluice::stream::testing
