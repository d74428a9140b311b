// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/records.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "portal/internal/json_writer.h"

namespace sluice::portal {
namespace {

// Reads members of one stored object; remembers the first that is wrong.
class Members {
 public:
  explicit Members(const store::Object& object)
      : id_(object.id), json_(nlohmann::json::parse(object.body, nullptr, false)) {
    if (!json_.is_object()) bad_ = "everything";
  }

  std::string Text(std::string_view name) {
    const auto* value = Find(name);
    if (value == nullptr || !value->is_string()) {
      bad_ = name;
      return "";
    }
    return value->get<std::string>();
  }

  TimePoint Time(std::string_view name) {
    const auto* value = Find(name);
    if (value == nullptr || !value->is_number_integer()) {
      bad_ = name;
      return {};
    }
    return TimePoint(Duration(value->get<int64_t>()));
  }

  std::vector<std::string> Texts(std::string_view name) {
    std::vector<std::string> texts;
    const auto* value = Find(name);
    if (value == nullptr || !value->is_array()) {
      bad_ = name;
      return texts;
    }
    for (const auto& item : *value) {
      if (item.is_string()) texts.push_back(item.get<std::string>());
    }
    return texts;
  }

  template <typename T>
  Result<T> Finish(T value) const {
    if (bad_.empty()) return value;
    return Fail(Code::kDataLoss, fmt::format("stored object {}: cannot read {}", id_, bad_));
  }

 private:
  const nlohmann::json* Find(std::string_view name) const {
    if (!json_.is_object()) return nullptr;
    const auto found = json_.find(name);
    return found == json_.end() ? nullptr : &*found;
  }

  std::string id_;
  nlohmann::json json_;
  std::string bad_;
};

int64_t Ms(TimePoint time) {
  return time.time_since_epoch().count();
}

}  // namespace

std::string EncodeSession(const SessionRecord& session) {
  JsonWriter json;
  return json.BeginObject()
      .Field("user", session.user.text())
      .Field("created_at", Ms(session.created_at))
      .Field("last_seen_at", Ms(session.last_seen_at))
      .Field("expires_at", Ms(session.expires_at))
      .EndObject()
      .Take();
}

Result<SessionRecord> DecodeSession(const store::Object& object) {
  Members members(object);
  return members.Finish(SessionRecord{.id = object.id,
                                      .user = UserId(members.Text("user")),
                                      .created_at = members.Time("created_at"),
                                      .last_seen_at = members.Time("last_seen_at"),
                                      .expires_at = members.Time("expires_at")});
}

std::string EncodeToken(const TokenRecord& token) {
  JsonWriter json;
  json.BeginObject()
      .Field("user", token.user.text())
      .Field("name", token.name)
      .Field("secret_sha256", token.secret_sha256)
      .Field("created_at", Ms(token.created_at))
      .Field("expires_at", Ms(token.expires_at))
      .Field("last_used_at", Ms(token.last_used_at));
  json.Key("scopes").BeginArray();
  for (const std::string& scope : token.scopes) json.Text(scope);
  return json.EndArray().EndObject().Take();
}

Result<TokenRecord> DecodeToken(const store::Object& object) {
  Members members(object);
  return members.Finish(TokenRecord{.id = object.id,
                                    .user = UserId(members.Text("user")),
                                    .name = members.Text("name"),
                                    .secret_sha256 = members.Text("secret_sha256"),
                                    .scopes = members.Texts("scopes"),
                                    .created_at = members.Time("created_at"),
                                    .expires_at = members.Time("expires_at"),
                                    .last_used_at = members.Time("last_used_at")});
}

std::string EncodeReplay(const ReplayRecord& replay) {
  JsonWriter json;
  return json.BeginObject()
      .Field("request_sha256", replay.request_sha256)
      .Field("created_at", Ms(replay.created_at))
      .Field("target", replay.target)
      .Field("answer", replay.answer)
      .EndObject()
      .Take();
}

Result<ReplayRecord> DecodeReplay(const store::Object& object) {
  Members members(object);
  return members.Finish(ReplayRecord{.id = object.id,
                                     .request_sha256 = members.Text("request_sha256"),
                                     .created_at = members.Time("created_at"),
                                     .target = members.Text("target"),
                                     .answer = members.Text("answer")});
}

}  // namespace sluice::portal
