// SPDX-License-Identifier: Apache-2.0
#include "store/codec.h"

#include <concepts>
#include <fmt/core.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

// Each type lists its members once, in Fields(); Writer and Reader walk the same list, so that what
// is written is what is read.
namespace sluice::store {
namespace {

using Json = nlohmann::json;

// T is U or const U.
template <typename T, typename U>
concept Like = std::same_as<std::remove_const_t<T>, U>;

template <typename V, Like<Share> T>
void Fields(V& v, T& share) {
  v("claim", share.claim);
  v("memory", share.memory);
  v("guarantee", share.guarantee);
  v("cap", share.cap);
  v("whole", share.whole);
}

template <typename V, Like<Gpu> T>
void Fields(V& v, T& gpu) {
  v("id", gpu.id);
  v("node", gpu.node);
  v("pool", gpu.pool);
  v("index", gpu.index);
  v("vendor", gpu.vendor);
  v("model", gpu.model);
  v("simulated", gpu.simulated);
  v("driver_version", gpu.driver_version);
  v("memory", gpu.memory);
  v("compute", gpu.compute);
  v("numa_node", gpu.numa_node);
  v("mode", gpu.mode);
  v("health", gpu.health);
  v("health_reason", gpu.health_reason);
  v("last_seen", gpu.last_seen);
  v("shares", gpu.shares);
}

template <typename V, Like<ClaimRequest> T>
void Fields(V& v, T& request) {
  v("count", request.count);
  v("memory", request.memory);
  v("guarantee", request.guarantee);
  v("cap", request.cap);
  v("guarantee_by_memory", request.guarantee_by_memory);
  v("whole", request.whole);
  v("vendor", request.vendor);
  v("gpu_model", request.gpu_model);
  v("only", request.only);
  v("priority", request.priority);
}

template <typename V, Like<Allocation> T>
void Fields(V& v, T& allocation) {
  v("gpu", allocation.gpu);
  v("memory", allocation.memory);
  v("guarantee", allocation.guarantee);
  v("cap", allocation.cap);
  v("whole", allocation.whole);
}

template <typename V, Like<Claim> T>
void Fields(V& v, T& claim) {
  v("id", claim.id);
  v("owner_kind", claim.owner_kind);
  v("desktop", claim.desktop);
  v("run_pid", claim.run_pid);
  v("run_pid_start", claim.run_pid_start);
  v("run_command", claim.run_command);
  v("user", claim.user);
  v("team", claim.team);
  v("template_id", claim.template_id);
  v("run_for", claim.run_for);
  v("request", claim.request);
  v("more", claim.more);
  v("phase", claim.phase);
  v("reason", claim.reason);
  v("allocations", claim.allocations);
  v("created_at", claim.created_at);
  v("queued_since", claim.queued_since);
  v("held_since", claim.held_since);
  v("reserved_until", claim.reserved_until);
  v("ends_at", claim.ends_at);
  v("notice_until", claim.notice_until);
  v("yields_to", claim.yields_to);
  v("moves_to", claim.moves_to);
  v("plan", claim.plan);
  v("moved_from", claim.moved_from);
}

template <typename V, Like<StageTime> T>
void Fields(V& v, T& stage) {
  v("stage", stage.stage);
  v("started_at", stage.started_at);
  v("ended_at", stage.ended_at);
}

template <typename V, Like<IdlePolicy> T>
void Fields(V& v, T& idle) {
  v("stop_after", idle.stop_after);
  v("warn_before", idle.warn_before);
  v("gpu_keeps_alive", idle.gpu_keeps_alive);
}

template <typename V, Like<Desktop> T>
void Fields(V& v, T& desktop) {
  v("id", desktop.id);
  v("name", desktop.name);
  v("owner", desktop.owner);
  v("template_id", desktop.template_id);
  v("kind", desktop.kind);
  v("request", desktop.request);
  v("claim", desktop.claim);
  v("desired", desktop.desired);
  v("state", desktop.state);
  v("reason", desktop.reason);
  v("keep_home", desktop.keep_home);
  v("idle", desktop.idle);
  v("run_for", desktop.run_for);
  v("keyboard_layout", desktop.keyboard_layout);
  v("restart_generation", desktop.restart_generation);
  v("restarted_generation", desktop.restarted_generation);
  v("created_at", desktop.created_at);
  v("state_since", desktop.state_since);
  v("ready_at", desktop.ready_at);
  v("last_input_at", desktop.last_input_at);
  v("stages", desktop.stages);
  v("message", desktop.message);
  v("message_from", desktop.message_from);
  v("limits_in_force", desktop.limits_in_force);
}

template <typename V, Like<HostProgram> T>
void Fields(V& v, T& program) {
  v("name", program.name);
  v("install", program.install);
}

template <typename V, Like<Template> T>
void Fields(V& v, T& value) {
  v("id", value.id);
  v("name", value.name);
  v("summary", value.summary);
  v("default_memory", value.default_memory);
  v("default_idle_stop", value.default_idle_stop);
  v("needs", value.needs);
  v("autostart", value.autostart);
}

template <typename V, Like<Pool> T>
void Fields(V& v, T& pool) {
  v("id", pool.id);
  v("name", pool.name);
  v("share_memory_min", pool.share_memory_min);
  v("share_memory_step", pool.share_memory_step);
  v("reservation_ttl", pool.reservation_ttl);
  v("bypass_rule", pool.bypass_rule);
  v("bypass_slack", pool.bypass_slack);
  v("strict_priority", pool.strict_priority);
  v("placement", pool.placement);
  v("compute_overcommit_percent", pool.compute_overcommit_percent);
  v("floor_cards", pool.floor_cards);
  v("ceiling_cards", pool.ceiling_cards);
  v("preempt", pool.preempt);
  v("preempt_notice", pool.preempt_notice);
}

template <typename V, Like<Quota> T>
void Fields(V& v, T& quota) {
  v("desktops_max", quota.desktops_max);
  v("gpu_memory_max", quota.gpu_memory_max);
}

template <typename V, Like<User> T>
void Fields(V& v, T& user) {
  v("id", user.id);
  v("name", user.name);
  v("display_name", user.display_name);
  v("role", user.role);
  v("disabled", user.disabled);
  v("password_hash", user.password_hash);
  v("must_change_password", user.must_change_password);
  v("quota", user.quota);
  v("team", user.team);
  v("created_at", user.created_at);
  v("last_sign_in_at", user.last_sign_in_at);
}

template <typename V, Like<Team> T>
void Fields(V& v, T& team) {
  v("id", team.id);
  v("name", team.name);
  v("memory_guaranteed", team.memory_guaranteed);
  v("memory_max", team.memory_max);
  v("created_at", team.created_at);
}

template <typename V, Like<PastClaim> T>
void Fields(V& v, T& past) {
  v("id", past.id);
  v("owner_kind", past.owner_kind);
  v("user", past.user);
  v("team", past.team);
  v("template_id", past.template_id);
  v("desktop", past.desktop);
  v("request", past.request);
  v("more", past.more);
  v("run_for", past.run_for);
  v("allocations", past.allocations);
  v("queued_since", past.queued_since);
  v("held_since", past.held_since);
  v("ended_at", past.ended_at);
  v("idle_for", past.idle_for);
  v("gave_way", past.gave_way);
  v("reason", past.reason);
}

template <typename V, Like<Reservation> T>
void Fields(V& v, T& reservation) {
  v("id", reservation.id);
  v("name", reservation.name);
  v("team", reservation.team);
  v("pool", reservation.pool);
  v("gpu_model", reservation.gpu_model);
  v("count", reservation.count);
  v("memory", reservation.memory);
  v("starts_at", reservation.starts_at);
  v("ends_at", reservation.ends_at);
  v("created_at", reservation.created_at);
  v("removed_at", reservation.removed_at);
}

// From names to enums; the other way is ToString.
std::optional<GpuMode> Parse(std::string_view s, GpuMode) {
  return ParseGpuMode(s);
}
std::optional<GpuHealth> Parse(std::string_view s, GpuHealth) {
  return ParseGpuHealth(s);
}
std::optional<ClaimPhase> Parse(std::string_view s, ClaimPhase) {
  return ParseClaimPhase(s);
}
std::optional<ClaimOwner> Parse(std::string_view s, ClaimOwner) {
  return ParseClaimOwner(s);
}
std::optional<DesktopState> Parse(std::string_view s, DesktopState) {
  return ParseDesktopState(s);
}
std::optional<DesiredState> Parse(std::string_view s, DesiredState) {
  return ParseDesiredState(s);
}
std::optional<DesktopKind> Parse(std::string_view s, DesktopKind) {
  return ParseDesktopKind(s);
}
std::optional<MessageSender> Parse(std::string_view s, MessageSender) {
  return ParseMessageSender(s);
}
std::optional<LaunchStage> Parse(std::string_view s, LaunchStage) {
  return ParseLaunchStage(s);
}
std::optional<BypassRule> Parse(std::string_view s, BypassRule) {
  return ParseBypassRule(s);
}
std::optional<PlacementPolicy> Parse(std::string_view s, PlacementPolicy) {
  return ParsePlacementPolicy(s);
}
std::optional<PreemptRule> Parse(std::string_view s, PreemptRule) {
  return ParsePreemptRule(s);
}
std::optional<Role> Parse(std::string_view s, Role) {
  return ParseRole(s);
}

template <typename T>
concept Enum = std::is_enum_v<T>;

// Makes a JSON object of a value's fields.
class Writer {
 public:
  template <typename T>
  void operator()(const char* name, const T& value) {
    json_[name] = ToJson(value);
  }

  template <typename T>
  static Json ToJson(const T& value) {
    if constexpr (Enum<T>) {
      return Json(std::string(ToString(value)));
    } else {
      Writer writer;
      Fields(writer, value);
      return std::move(writer.json_);
    }
  }
  static Json ToJson(bool value) { return value; }
  static Json ToJson(int value) { return value; }
  static Json ToJson(int64_t value) { return value; }
  static Json ToJson(const std::string& value) { return value; }
  static Json ToJson(Duration value) { return value.count(); }
  static Json ToJson(TimePoint value) { return value.time_since_epoch().count(); }
  template <typename Tag>
  static Json ToJson(const Id<Tag>& value) {
    return value.text();
  }
  template <typename Tag>
  static Json ToJson(const Quantity<Tag>& value) {
    return value.value();
  }
  template <typename T>
  static Json ToJson(const std::vector<T>& values) {
    Json list = Json::array();
    for (const T& value : values) list.push_back(ToJson(value));
    return list;
  }

 private:
  Json json_ = Json::object();
};

// Fills a value's fields from a JSON object and remembers the first one that is not as it should
// be.
class Reader {
 public:
  // nullopt: good. Else the path of what is wrong below a value; empty: the value itself.
  using Wrong = std::optional<std::string>;

  explicit Reader(const Json& json) : json_(json) {}

  // The first wrong member, "request.memory"; empty: none.
  const std::string& wrong() const { return wrong_; }

  template <typename T>
  void operator()(const char* name, T& value) {
    if (!wrong_.empty()) return;
    const auto member = json_.find(name);
    if (member == json_.end()) return;
    const Wrong inner = FromJson(*member, value);
    if (inner) wrong_ = inner->empty() ? name : fmt::format("{}.{}", name, *inner);
  }

  template <typename T>
  static Wrong FromJson(const Json& json, T& value) {
    if constexpr (Enum<T>) {
      if (!json.is_string()) return "";
      const auto parsed = Parse(json.get_ref<const std::string&>(), value);
      if (parsed) value = *parsed;
      return parsed ? Wrong() : Wrong("");
    } else {
      if (!json.is_object()) return "";
      Reader reader(json);
      Fields(reader, value);
      return reader.wrong_.empty() ? Wrong() : Wrong(reader.wrong_);
    }
  }
  static Wrong FromJson(const Json& json, bool& value) {
    if (!json.is_boolean()) return "";
    value = json.get<bool>();
    return kGood;
  }
  static Wrong FromJson(const Json& json, int64_t& value) {
    if (!json.is_number_integer()) return "";
    if (json.is_number_unsigned() &&
        json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return "";
    }
    value = json.get<int64_t>();
    return kGood;
  }
  static Wrong FromJson(const Json& json, int& value) {
    int64_t wide = 0;
    if (FromJson(json, wide)) return "";
    if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) return "";
    value = static_cast<int>(wide);
    return kGood;
  }
  static Wrong FromJson(const Json& json, std::string& value) {
    if (!json.is_string()) return "";
    value = json.get_ref<const std::string&>();
    return kGood;
  }
  static Wrong FromJson(const Json& json, Duration& value) {
    int64_t count = 0;
    Wrong read = FromJson(json, count);
    value = Duration(count);
    return read;
  }
  static Wrong FromJson(const Json& json, TimePoint& value) {
    Duration since_epoch{0};
    Wrong read = FromJson(json, since_epoch);
    value = TimePoint(since_epoch);
    return read;
  }
  template <typename Tag>
  static Wrong FromJson(const Json& json, Id<Tag>& value) {
    std::string text;
    Wrong read = FromJson(json, text);
    value = Id<Tag>(std::move(text));
    return read;
  }
  template <typename Tag>
  static Wrong FromJson(const Json& json, Quantity<Tag>& value) {
    int64_t count = 0;
    Wrong read = FromJson(json, count);
    value = Quantity<Tag>(count);
    return read;
  }
  template <typename T>
  static Wrong FromJson(const Json& json, std::vector<T>& values) {
    if (!json.is_array()) return "";
    values.clear();
    for (const Json& element : json) {
      Wrong read = FromJson(element, values.emplace_back());
      if (!read) continue;
      const std::string at = std::to_string(values.size() - 1);
      return read->empty() ? at : at + "." + *read;
    }
    return kGood;
  }

 private:
  static constexpr std::nullopt_t kGood = std::nullopt;

  const Json& json_;
  std::string wrong_;
};

// What a row of before a field was there says of it by other fields.
template <typename T>
void ReadOld(const Json& /*json*/, T& /*value*/) {}

// Who had all of a card's memory had the card.
void ReadOld(const Json& json, Gpu& gpu) {
  for (size_t i = 0; i < gpu.shares.size(); ++i) {
    if (json["shares"][i].contains("whole")) continue;
    gpu.shares[i].whole = gpu.shares[i].memory >= gpu.memory;
  }
}

// Text that is not UTF-8 (a command line may hold any bytes) is stored with U+FFFD in its place.
template <typename T>
std::string EncodeAny(const T& value) {
  return Writer::ToJson(value).dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <typename T>
Result<T> DecodeAny(std::string_view text) {
  const std::string_view kind = ToString(KindOf<T>::kKind);
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) {
    return Fail(Code::kDataLoss, fmt::format("a stored {} is not a JSON object", kind));
  }
  T value;
  Reader reader(json);
  Fields(reader, value);
  if (!reader.wrong().empty()) {
    const std::string id = value.id.empty() ? "without an id" : value.id.text();
    return Fail(
        Code::kDataLoss,
        fmt::format("stored {} {} cannot be read: member {} is wrong", kind, id, reader.wrong()));
  }
  ReadOld(json, value);
  return value;
}

}  // namespace

std::string Encode(const Gpu& gpu) {
  return EncodeAny(gpu);
}
std::string Encode(const Claim& claim) {
  return EncodeAny(claim);
}
std::string Encode(const Desktop& desktop) {
  return EncodeAny(desktop);
}
std::string Encode(const Template& value) {
  return EncodeAny(value);
}
std::string Encode(const Pool& pool) {
  return EncodeAny(pool);
}
std::string Encode(const User& user) {
  return EncodeAny(user);
}
std::string Encode(const Team& team) {
  return EncodeAny(team);
}
std::string Encode(const PastClaim& past) {
  return EncodeAny(past);
}
std::string Encode(const Reservation& reservation) {
  return EncodeAny(reservation);
}

template <>
Result<Gpu> Decode<Gpu>(std::string_view json) {
  return DecodeAny<Gpu>(json);
}
template <>
Result<Claim> Decode<Claim>(std::string_view json) {
  return DecodeAny<Claim>(json);
}
template <>
Result<Desktop> Decode<Desktop>(std::string_view json) {
  return DecodeAny<Desktop>(json);
}
template <>
Result<Template> Decode<Template>(std::string_view json) {
  return DecodeAny<Template>(json);
}
template <>
Result<Pool> Decode<Pool>(std::string_view json) {
  return DecodeAny<Pool>(json);
}
template <>
Result<User> Decode<User>(std::string_view json) {
  return DecodeAny<User>(json);
}
template <>
Result<Team> Decode<Team>(std::string_view json) {
  return DecodeAny<Team>(json);
}
template <>
Result<PastClaim> Decode<PastClaim>(std::string_view json) {
  return DecodeAny<PastClaim>(json);
}
template <>
Result<Reservation> Decode<Reservation>(std::string_view json) {
  return DecodeAny<Reservation>(json);
}

}  // namespace sluice::store
