// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/static_files.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "portal/internal/secrets.h"

namespace sluice::portal {
namespace {

constexpr int64_t kFileBytesMax = 32 << 20;
constexpr size_t kFilesMax = 2'000;

struct MediaRow {
  std::string_view ending;
  std::string_view type;
};
constexpr std::array<MediaRow, 15> kMedia = {{{".html", "text/html; charset=utf-8"},
                                              {".js", "text/javascript; charset=utf-8"},
                                              {".mjs", "text/javascript; charset=utf-8"},
                                              {".css", "text/css; charset=utf-8"},
                                              {".json", "application/json"},
                                              {".map", "application/json"},
                                              {".svg", "image/svg+xml"},
                                              {".png", "image/png"},
                                              {".ico", "image/x-icon"},
                                              {".webp", "image/webp"},
                                              {".woff2", "font/woff2"},
                                              {".wasm", "application/wasm"},
                                              {".txt", "text/plain; charset=utf-8"},
                                              {".webmanifest", "application/manifest+json"},
                                              {".xml", "application/xml"}}};

std::string_view MediaType(std::string_view path) {
  for (const MediaRow& row : kMedia) {
    if (path.ends_with(row.ending)) return row.type;
  }
  return "application/octet-stream";
}

// Names that the bundler made from the content, so that they never change:
// /assets/index-4f3a2b1c.js.
bool IsHashed(std::string_view path) {
  return path.starts_with("/assets/");
}

// The client writes no style element, no inline script and no HTML text (web/README.md says what
// keeps it so), hence no 'unsafe-inline' anywhere. data: pictures are what noVNC decodes frames and
// cursors through. Not every browser lets 'self' stand for the WebSocket of the same host, so that
// is named.
std::string Policy(const net::Request& request) {
  std::string sockets;
  const std::string_view host = request.headers.Get("Host");
  const bool plain = !host.empty() && std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(".-:[]").find(c) != std::string_view::npos;
  });
  if (plain) sockets = (request.secure ? " wss://" : " ws://") + std::string(host);
  return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
         "font-src 'self'; connect-src 'self'" +
         sockets +
         "; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
         "require-trusted-types-for 'script'";
}

constexpr std::string_view kPermissions =
    "clipboard-read=(self), clipboard-write=(self), fullscreen=(self), keyboard-map=(self), "
    "camera=(), microphone=(), geolocation=(), payment=(), usb=()";

bool AcceptsGzip(const net::Request& request) {
  return request.headers.Get("Accept-Encoding").find("gzip") != std::string_view::npos;
}

std::shared_ptr<const std::string> ReadAll(int descriptor, int64_t size) {
  auto bytes = std::make_shared<std::string>(static_cast<size_t>(size), '\0');
  size_t done = 0;
  while (done < bytes->size()) {
    const ssize_t got = ::read(descriptor, bytes->data() + done, bytes->size() - done);
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  bytes->resize(done);
  return bytes;
}

}  // namespace

std::shared_ptr<const StaticFiles::File> StaticFiles::Load(const std::string& relative) {
  // The server refuses "..", but one more look costs nothing; links out of the folder are the
  // administrator's own.
  if (root_.empty() || relative.find("/..") != std::string::npos) return nullptr;
  const int descriptor = ::open((root_ + relative).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return nullptr;
  struct stat info {};
  const bool usable =
      ::fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= kFileBytesMax;
  if (!usable) {
    ::close(descriptor);
    return nullptr;
  }
  const int64_t modified = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
  const auto present = files_.With([&](const auto& files) -> std::shared_ptr<const File> {
    const auto found = files.find(relative);
    return found == files.end() ? nullptr : found->second;
  });
  if (present && present->modified_ns == modified && present->size == info.st_size) {
    ::close(descriptor);
    return present;
  }
  auto file = std::make_shared<File>();
  file->bytes = ReadAll(descriptor, info.st_size);
  ::close(descriptor);
  file->modified_ns = modified;
  file->size = info.st_size;
  file->etag = "\"" + Sha256Hex(*file->bytes).substr(0, 32) + "\"";
  files_.With([&](auto& files) {
    if (files.size() >= kFilesMax) files.clear();
    files[relative] = file;
  });
  return file;
}

net::Response StaticFiles::Serve(const net::Request& request) {
  std::string path = request.path;
  if (path.empty() || path.ends_with('/')) path += "index.html";
  auto file = Load(path);
  if (file == nullptr && !IsHashed(path) && path.find("/..") == std::string::npos) {
    // A page of the client; what has an ending was meant as a file.
    const size_t name = path.rfind('/');
    if (path.find('.', name) == std::string::npos) {
      path = "/index.html";
      file = Load(path);
    }
  }
  net::Response response;
  if (file == nullptr) {
    response.status = 404;
    response.headers.Set("Content-Type", "text/plain; charset=utf-8");
    response.body = root_.empty() ? "No web client is installed beside this Sluice.\n"
                                  : "There is no such file.\n";
    return response;
  }
  response.headers.Set("Content-Type", std::string(MediaType(path)));
  response.headers.Set("Vary", "Accept-Encoding");
  response.headers.Set("Content-Security-Policy", Policy(request));
  response.headers.Set("Permissions-Policy", std::string(kPermissions));
  response.headers.Set("Cross-Origin-Opener-Policy", "same-origin");
  response.headers.Set("Cache-Control",
                       IsHashed(path) ? "public, max-age=31536000, immutable" : "no-cache");
  response.headers.Set("ETag", file->etag);
  if (request.headers.Get("If-None-Match") == file->etag) {
    response.status = 304;
    return response;
  }
  if (AcceptsGzip(request)) {
    if (const auto packed = Load(path + ".gz"); packed != nullptr) {
      response.headers.Set("Content-Encoding", "gzip");
      file = packed;
    }
  }
  response.shared_body = file->bytes;
  return response;
}

}  // namespace sluice::portal
