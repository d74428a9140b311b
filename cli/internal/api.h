// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/client.h"

namespace sluice::cli {

using Json = nlohmann::ordered_json;

// Where the API is, as the options of every verb say it.
struct ApiOptions {
  std::string server;       // "https://host:port"; empty: the local instance.
  std::string token;        // "slc_…".
  std::string ca;           // PEM file.
  std::string fingerprint;  // Of the server's certificate.
  std::string state;        // State folder of the local instance; empty: the default.
};

// What the server or the way to it said, with the exit code that goes with it.
struct Failure {
  int exit_code = 1;
  std::string text;  // What happened, and what to do: for stderr.
  std::string code;  // The problem's code; empty when it did not come from the server.
  int status = 0;
};

// Thrown inside cli/ only and caught in Main: every verb is a straight line.
struct CommandFailed {
  Failure failure;
};

// One server, spoken to by one thread. Every call returns the answer's JSON or throws
// CommandFailed.
class Api {
 public:
  explicit Api(ApiOptions options) : options_(std::move(options)) {}

  Json Get(const std::string& target);
  Json Post(const std::string& target, const Json& body);  // Null: no body.
  Json Patch(const std::string& target, const Json& change, const std::string& version);
  Json Delete(const std::string& target, const std::string& version);
  // The body as it is sent.
  std::string GetText(const std::string& target);

  // Every item of a list, page after page.
  Json All(const std::string& target);
  // Reads the object, patches it, and does so again when somebody else was faster.
  Json Change(const std::string& target, const Json& change);
  // The same with a POST to target/verb, which is meant for the object's version.
  Json PostOn(const std::string& target, const std::string& verb, const Json& body);
  void Remove(const std::string& target, const std::string& query = {});

  // Where people find the web client: the server, or what the local instance has noted.
  std::string WebAddress() const;
  // The local instance's socket, or empty for a remote server.
  const ApiOptions& options() const { return options_; }
  std::string LocalStateFolder() const;

 private:
  net::Response Send(const std::string& method,
                     const std::string& target,
                     const Json* body,
                     const std::string& version);
  net::Client& Connection();
  // Reads the object's version and sends with it, again when somebody else was faster.
  Json Insist(const std::string& target,
              const std::function<Json(const std::string& version)>& send);

  ApiOptions options_;
  std::unique_ptr<net::Client> client_;
};

// Part of a path or a query, percent-encoded.
std::string Encoded(std::string_view text);

// The failure that a problem+json answer tells of.
Failure FailureOf(const net::Response& response);

// For a verb's own failures.
[[noreturn]] void Stop(int exit_code, std::string text);

}  // namespace sluice::cli
