// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/guarded.h"
#include "net/http.h"

namespace sluice::portal {

// The web client's files from one folder. Each is read once and again when it has changed on disk;
// "NAME.gz" beside it is sent to who accepts it. Paths that name no file get index.html, because
// the client has pages of its own. Thread-safe.
class StaticFiles {
 public:
  // An empty root serves nothing.
  explicit StaticFiles(std::string root) : root_(std::move(root)) {}

  // Requires: method GET or HEAD; the path is normalised (net::Request::path).
  net::Response Serve(const net::Request& request);

 private:
  struct File {
    std::shared_ptr<const std::string> bytes;
    std::string etag;
    int64_t modified_ns = 0;
    int64_t size = 0;
  };

  // Null when it is no regular file inside the root or too large.
  std::shared_ptr<const File> Load(const std::string& relative);

  const std::string root_;
  Guarded<std::map<std::string, std::shared_ptr<const File>>> files_;
};

}  // namespace sluice::portal
