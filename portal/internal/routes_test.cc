// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/routes.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "portal/internal/openapi_json.h"

namespace sluice::portal {
namespace {

using Json = nlohmann::json;

const Json& Document() {
  static const Json document = Json::parse(kOpenApiJson);
  return document;
}

std::string Lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return static_cast<char>(c | 0x20); });
  return out;
}

// The parameters of an operation and of its path, with references followed.
std::vector<Json> Parameters(const Json& path, const Json& operation) {
  std::vector<Json> all;
  for (const Json* owner : {&path, &operation}) {
    if (!owner->contains("parameters")) continue;
    for (const Json& parameter : (*owner)["parameters"]) {
      if (!parameter.contains("$ref")) {
        all.push_back(parameter);
        continue;
      }
      const std::string reference = parameter["$ref"];
      all.push_back(Document().at(Json::json_pointer(reference.substr(1))));
    }
  }
  return all;
}

TEST(Routes, AreExactlyThoseOfTheDocument) {
  std::set<std::string> documented;
  for (const auto& [path, methods] : Document()["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      if (method != "parameters") documented.insert(method + " " + path);
    }
  }
  std::set<std::string> routed;
  for (const Route& route : Routes()) {
    EXPECT_TRUE(routed.insert(Lower(route.method) + " " + std::string(route.path)).second)
        << route.path << " twice";
  }
  EXPECT_EQ(routed, documented);
}

TEST(Routes, SayWhatTheDocumentSays) {
  const std::map<Access, std::string> roles = {{Access::kAnonymous, "anonymous"},
                                               {Access::kUser, "user"},
                                               {Access::kOperator, "operator"},
                                               {Access::kAdmin, "admin"}};
  const std::map<Idempotency, std::string> keys = {{Idempotency::kNone, "none"},
                                                   {Idempotency::kOptional, "optional"},
                                                   {Idempotency::kRequired, "required"}};
  for (const Route& route : Routes()) {
    const Json& path = Document()["paths"][std::string(route.path)];
    const Json& operation = path[Lower(route.method)];
    SCOPED_TRACE(std::string(route.method) + " " + std::string(route.path));
    EXPECT_EQ(operation.value("operationId", ""), route.operation);
    EXPECT_EQ(operation.value("x-role", ""), roles.at(route.access));
    if (route.access != Access::kAnonymous) {
      EXPECT_EQ(operation.value("x-scope", ""), route.scope);
    }
    EXPECT_EQ(operation.value("x-idempotency", "none"), keys.at(route.idempotency));
    EXPECT_EQ(operation.contains("requestBody"), route.takes_body);
    EXPECT_EQ(operation["x-csrf"], route.unsafe() && route.access != Access::kAnonymous);
    std::set<std::string> queries;
    std::set<std::string> headers;
    for (const Json& parameter : Parameters(path, operation)) {
      if (parameter["in"] == "query") queries.insert(parameter["name"]);
      if (parameter["in"] == "header") headers.insert(parameter["name"]);
    }
    std::set<std::string> routed;
    std::istringstream words{std::string(route.queries)};
    for (std::string word; words >> word;) routed.insert(word);
    EXPECT_EQ(queries, routed);
    EXPECT_EQ(headers.contains("If-Match"), route.needs_if_match);
    EXPECT_EQ(headers.contains("Idempotency-Key"), route.idempotency != Idempotency::kNone);
  }
}

TEST(Routes, HaveAHandlerUnlessTheyAreServedOtherwise) {
  for (const Route& route : Routes()) {
    const bool otherwise =
        route.serving == Serving::kEvents || route.serving == Serving::kWebSocket;
    EXPECT_EQ(route.handler == nullptr, otherwise) << route.path;
  }
}

TEST(Routes, WriteOnlyOffTheIoThreads) {
  for (const Route& route : Routes()) {
    EXPECT_TRUE(!route.unsafe() || route.serving == Serving::kBlocking) << route.path;
  }
}

TEST(Routes, FindTheIdInThePath) {
  const Match match = FindRoute("POST", "/v1/desktops/dsk_01/restart");
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.route->operation, "restartDesktop");
  EXPECT_EQ(match.id, "dsk_01");
}

TEST(Routes, RefuseIdsWithStrangeCharacters) {
  for (const char* path : {"/v1/desktops/",
                           "/v1/desktops/a b",
                           "/v1/desktops/a/b/restart",
                           "/v1/desktops//restart",
                           "/v1/desktops/\xFF"}) {
    EXPECT_EQ(FindRoute("GET", path).route, nullptr) << path;
    EXPECT_TRUE(FindRoute("GET", path).allowed.empty()) << path;
  }
  EXPECT_EQ(FindRoute("GET", "/v1/desktops/" + std::string(81, 'a')).route, nullptr);
}

TEST(Routes, NameTheMethodsOfAPath) {
  EXPECT_EQ(FindRoute("PUT", "/v1/desktops/dsk_1").allowed, "GET, PATCH, DELETE");
}

TEST(ProblemCodes, AreAllInTheDocument) {
  std::set<std::string> documented;
  for (const Json& code : Document()["components"]["schemas"]["ProblemCode"]["enum"]) {
    documented.insert(code);
  }
  for (const ProblemRow& row : ProblemTable()) {
    EXPECT_TRUE(documented.contains(std::string(row.name))) << row.name;
  }
}

}  // namespace
}  // namespace sluice::portal
