// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/static_files.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

namespace sluice::portal {
namespace {

class Static : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/portal-static-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    std::filesystem::create_directory(root_ + "/assets");
    Write("/index.html", "<html>client</html>");
    Write("/assets/app-1a2b.js", "code");
    Write("/assets/app-1a2b.js.gz", "packed");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(root_ + name) << text;
  }
  net::Response Get(const std::string& path, const std::string& encoding = "") {
    net::Request request;
    request.method = "GET";
    request.path = path;
    request.headers.Set("Host", "portal.test");
    if (!encoding.empty()) request.headers.Set("Accept-Encoding", encoding);
    return StaticFiles(root_).Serve(request);
  }

  std::string root_;
};

TEST_F(Static, KeepsHashedFilesForEver) {
  const auto response = Get("/assets/app-1a2b.js");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(*response.shared_body, "code");
  EXPECT_EQ(response.headers.Get("Content-Type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(response.headers.Get("Cache-Control"), "public, max-age=31536000, immutable");
}

TEST_F(Static, SendsThePackedFileToWhoAcceptsIt) {
  const auto response = Get("/assets/app-1a2b.js", "br, gzip");
  EXPECT_EQ(*response.shared_body, "packed");
  EXPECT_EQ(response.headers.Get("Content-Encoding"), "gzip");
  EXPECT_EQ(response.headers.Get("Content-Type"), "text/javascript; charset=utf-8");
}

TEST_F(Static, AnswersPagesOfTheClientWithItsIndex) {
  for (const char* path : {"/", "/desktops/dsk_1", "/admin/gpus"}) {
    const auto response = Get(path);
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_EQ(*response.shared_body, "<html>client</html>") << path;
    EXPECT_EQ(response.headers.Get("Cache-Control"), "no-cache");
  }
}

TEST_F(Static, SendsAStrictPolicy) {
  const auto response = Get("/");
  const std::string policy(response.headers.Get("Content-Security-Policy"));
  for (const char* part : {"script-src 'self';",
                           "default-src 'none'",
                           "frame-ancestors 'none'",
                           "base-uri 'none'",
                           "connect-src 'self' ws://portal.test;"}) {
    EXPECT_NE(policy.find(part), std::string::npos) << policy;
  }
  EXPECT_TRUE(response.headers.Has("Permissions-Policy"));
}

TEST_F(Static, FindsNothingOutsideAndNothingMissing) {
  for (const char* path : {"/assets/none.js", "/none.png", "/../etc/passwd", "/assets/"}) {
    const auto response = Get(path);
    EXPECT_EQ(response.status, 404) << path;
  }
}

TEST_F(Static, ReadsAFileAgainWhenItChanged) {
  StaticFiles files(root_);
  net::Request request;
  request.method = "GET";
  request.path = "/index.html";
  const auto first = files.Serve(request);
  Write("/index.html", "<html>a newer client</html>");
  const auto second = files.Serve(request);
  EXPECT_EQ(*second.shared_body, "<html>a newer client</html>");
  EXPECT_NE(first.headers.Get("ETag"), second.headers.Get("ETag"));
  request.headers.Set("If-None-Match", std::string(second.headers.Get("ETag")));
  EXPECT_EQ(files.Serve(request).status, 304);
}

TEST(StaticWithoutAFolder, SaysThatNoClientIsInstalled) {
  net::Request request;
  request.method = "GET";
  request.path = "/";
  EXPECT_EQ(StaticFiles("").Serve(request).status, 404);
}

}  // namespace
}  // namespace sluice::portal
