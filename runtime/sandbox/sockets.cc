// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/sockets.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::runtime {
namespace {

Result<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{};
  if (path.size() > kSocketPathMax) {
    return Fail(Code::kInvalidArgument, "a socket's path is too long: " + path);
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* Plain(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

Result<Fd> ListenUnix(const std::string& path) {
  const auto address = Address(path);
  if (!address) return Fail(address.error());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ::unlink(path.c_str());
  const mode_t before = ::umask(0177);
  const bool bound = fd.valid() && ::bind(fd.get(), Plain(*address), sizeof(*address)) == 0;
  const int error = errno;
  ::umask(before);
  if (!bound) return Fail(ErrnoError(error, "listen on " + path));
  if (::listen(fd.get(), 8) != 0) return Fail(ErrnoError(errno, "listen on " + path));
  return fd;
}

Result<Fd> ConnectUnix(const std::string& path) {
  const auto address = Address(path);
  if (!address) return Fail(address.error());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() || ::connect(fd.get(), Plain(*address), sizeof(*address)) != 0) {
    return Fail(ErrnoError(errno, "connect to " + path));
  }
  return fd;
}

}  // namespace sluice::runtime
