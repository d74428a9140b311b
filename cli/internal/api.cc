// SPDX-License-Identifier: Apache-2.0
#include "cli/internal/api.h"

#include <array>
#include <fmt/core.h>
#include <utility>

#include "base/random.h"
#include "base/units.h"
#include "cli/cli.h"
#include "instance/folders.h"

namespace sluice::cli {
namespace {

constexpr std::chrono::milliseconds kPatience{30'000};

struct StatusRow {
  int status;
  int exit_code;
};

// Everything else is kError.
constexpr std::array<StatusRow, 9> kStatusRows = {{{400, kUsage},
                                                   {401, kNotSignedIn},
                                                   {403, kRefused},
                                                   {404, kNotFound},
                                                   {409, kRefused},
                                                   {412, kRefused},
                                                   {422, kRefused},
                                                   {429, kRefused},
                                                   {503, kUnreachable}}};

int ExitCodeOf(int status) {
  for (const StatusRow& row : kStatusRows) {
    if (row.status == status) return row.exit_code;
  }
  return kError;
}

std::string TextOf(const Json& json, const char* member) {
  const auto found = json.find(member);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

Json Parsed(const net::Response& response) {
  const std::string& body = response.shared_body ? *response.shared_body : response.body;
  return Json::parse(body, nullptr, /*allow_exceptions=*/false);
}

}  // namespace

std::string Encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    encoded += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

void Stop(int exit_code, std::string text) {
  throw CommandFailed{{.exit_code = exit_code, .text = std::move(text), .code = {}}};
}

Failure FailureOf(const net::Response& response) {
  Failure failure{.exit_code = ExitCodeOf(response.status), .status = response.status};
  const Json problem = Parsed(response);
  if (!problem.is_object()) {
    failure.text = fmt::format("the server answered {}", response.status);
    return failure;
  }
  failure.code = TextOf(problem, "code");
  failure.text = TextOf(problem, "detail");
  if (failure.text.empty()) failure.text = TextOf(problem, "title");
  if (const auto errors = problem.find("errors"); errors != problem.end() && errors->is_array()) {
    for (const Json& error : *errors) {
      if (TextOf(error, "detail") == failure.text) continue;
      failure.text += fmt::format("\n  {}: {}", TextOf(error, "pointer"), TextOf(error, "detail"));
    }
  }
  const auto others = problem.find("alternatives");
  if (others != problem.end() && others->is_array()) {
    for (const Json& other : *others) {
      const auto bytes = other.find("memory_bytes");
      if (bytes == other.end() || !bytes->is_number_integer()) continue;
      failure.text += fmt::format("\n  possible: {} on {}",
                                  ToText(Bytes(bytes->get<int64_t>())),
                                  TextOf(other, "gpu_model"));
    }
  }
  return failure;
}

std::string Api::LocalStateFolder() const {
  if (!options_.state.empty()) return options_.state;
  const auto folder = instance::DefaultStateFolder();
  if (!folder) Stop(kError, folder.error().message);
  return *folder;
}

net::Client& Api::Connection() {
  if (client_ != nullptr) return *client_;
  net::Endpoint endpoint{
      .url = options_.server, .ca_pem = options_.ca, .fingerprint_sha256 = options_.fingerprint};
  if (endpoint.url.empty()) endpoint.url = "unix:" + instance::SocketOf(LocalStateFolder());
  auto client = net::Client::Create(endpoint);
  if (!client) Stop(kUnreachable, client.error().message);
  client_ = std::move(*client);
  return *client_;
}

net::Response Api::Send(const std::string& method,
                        const std::string& target,
                        const Json* body,
                        const std::string& version) {
  net::Request request;
  request.method = method;
  request.target = target;
  request.headers.Add("Accept", "application/json");
  if (!options_.token.empty()) request.headers.Add("Authorization", "Bearer " + options_.token);
  if (body != nullptr) {
    request.body = body->dump();
    request.headers.Add("Content-Type", "application/json");
  }
  if (method == "POST") {
    SystemRandom random;
    request.headers.Add("Idempotency-Key",
                        fmt::format("cli-{:016x}{:016x}", random.Next(), random.Next()));
  }
  if (!version.empty()) request.headers.Add("If-Match", "\"" + version + "\"");
  auto response = Connection().Send(request, kPatience);
  if (!response) {
    if (options_.server.empty() && response.error().code == Code::kUnavailable) {
      Stop(kUnreachable,
           fmt::format("Sluice does not run on {}. Start it with: sluice up\n  ({})",
                       LocalStateFolder(),
                       response.error().message));
    }
    Stop(kUnreachable, response.error().message);
  }
  if (response->status >= 400) throw CommandFailed{FailureOf(*response)};
  return std::move(*response);
}

Json Api::Get(const std::string& target) {
  return Parsed(Send("GET", target, nullptr, ""));
}

Json Api::Post(const std::string& target, const Json& body) {
  return Parsed(Send("POST", target, body.is_null() ? nullptr : &body, ""));
}

Json Api::Patch(const std::string& target, const Json& change, const std::string& version) {
  return Parsed(Send("PATCH", target, &change, version));
}

Json Api::Delete(const std::string& target, const std::string& version) {
  return Parsed(Send("DELETE", target, nullptr, version));
}

std::string Api::GetText(const std::string& target) {
  net::Response response = Send("GET", target, nullptr, "");
  if (response.shared_body) return *response.shared_body;
  return std::move(response.body);
}

Json Api::All(const std::string& target) {
  Json items = Json::array();
  std::string cursor;
  const char join = target.find('?') == std::string::npos ? '?' : '&';
  do {
    Json page = Get(fmt::format(
        "{}{}limit=200{}", target, join, cursor.empty() ? "" : "&cursor=" + Encoded(cursor)));
    const auto found = page.find("items");
    if (found == page.end() || !found->is_array()) Stop(kError, "the server sent no list");
    for (Json& item : *found) items.push_back(std::move(item));
    cursor = TextOf(page, "next_cursor");
  } while (!cursor.empty());
  return items;
}

namespace {

constexpr int kAttempts = 5;

std::string VersionOf(const Json& object) {
  const auto found = object.find("resource_version");
  if (found == object.end() || !found->is_number_integer())
    Stop(kError, "the server sent no version");
  return std::to_string(found->get<int64_t>());
}

}  // namespace

Json Api::Insist(const std::string& target,
                 const std::function<Json(const std::string& version)>& send) {
  for (int attempt = 1;; ++attempt) {
    try {
      return send(VersionOf(Get(target)));
    } catch (const CommandFailed& failed) {
      if (failed.failure.status != 412 || attempt >= kAttempts) throw;
    }
  }
}

Json Api::Change(const std::string& target, const Json& change) {
  return Insist(target, [&](const std::string& version) { return Patch(target, change, version); });
}

Json Api::PostOn(const std::string& target, const std::string& verb, const Json& body) {
  return Insist(target, [&](const std::string& version) {
    return Parsed(Send("POST", target + "/" + verb, &body, version));
  });
}

void Api::Remove(const std::string& target, const std::string& query) {
  Insist(target, [&](const std::string& version) {
    return Delete(query.empty() ? target : target + "?" + query, version);
  });
}

std::string Api::WebAddress() const {
  if (!options_.server.empty()) return options_.server;
  const std::string note = instance::ReadNote(LocalStateFolder() + "/instance.lock").value_or("");
  const size_t space = note.find(' ');
  if (space == std::string::npos) return "";
  return note.substr(space + 1, note.find('\n') - space - 1);
}

}  // namespace sluice::cli
