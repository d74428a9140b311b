// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/json_body.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>

#include "model/user.h"

namespace sluice::portal {
namespace {

// A JSON integer, also when written 8.0. Nothing beyond 2^53 is accepted in that form.
std::optional<int64_t> AsInteger(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(INT64_MAX)) return INT64_MAX;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::floor(number) == number && std::abs(number) <= 9007199254740992.0) {
      return static_cast<int64_t>(number);
    }
  }
  return std::nullopt;
}

// A member name inside a JSON pointer (RFC 6901).
std::string EscapePointer(std::string_view name) {
  std::string out;
  for (const char c : name.substr(0, 100)) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

size_t CountCharacters(std::string_view utf8) {
  return static_cast<size_t>(std::ranges::count_if(
      utf8, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

bool NestsDeeper(std::string_view json, int depth_max) {
  int depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_text) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_text = false;
      }
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      if (++depth > depth_max) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

OrProblem<nlohmann::json> ParseBody(std::string_view body) {
  if (body.size() > kJsonBytesMax) {
    return No(
        ProblemCode::kTooLarge,
        fmt::format("A body may have {} bytes; this one has {}.", kJsonBytesMax, body.size()));
  }
  if (NestsDeeper(body, kJsonDepthMax)) {
    return No(ProblemCode::kMalformedJson,
              fmt::format("The body nests deeper than {} levels.", kJsonDepthMax));
  }
  nlohmann::json value = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) {
    return No(ProblemCode::kMalformedJson, "The body is not valid JSON in UTF-8.");
  }
  if (!value.is_object()) {
    return No(ProblemCode::kMalformedJson, "The body must be a JSON object.");
  }
  return value;
}

FieldReader::FieldReader(const nlohmann::json& object, FieldErrors& errors, std::string prefix)
    : object_(&object), errors_(&errors), prefix_(std::move(prefix)) {}

std::string FieldReader::Pointer(std::string_view name) const {
  return prefix_ + "/" + EscapePointer(name);
}

const nlohmann::json* FieldReader::Find(std::string_view name) {
  known_.emplace_back(name);
  const auto found = object_->find(name);
  return found == object_->end() ? nullptr : &*found;
}

void FieldReader::Reject(std::string_view name, std::string code, std::string detail) {
  errors_->push_back({Pointer(name), std::move(code), std::move(detail)});
}

std::optional<std::string> FieldReader::Text(std::string_view name, size_t characters_max) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    Reject(name, "type", "must be text");
    return std::nullopt;
  }
  const auto& text = value->get_ref<const std::string&>();
  if (text.empty() || CountCharacters(text) > characters_max) {
    Reject(name, "range", fmt::format("must have 1 to {} characters", characters_max));
    return std::nullopt;
  }
  return text;
}

std::optional<std::string> FieldReader::DisplayText(std::string_view name, size_t characters_max) {
  const auto text = Text(name, characters_max);
  if (!text) return std::nullopt;
  auto clean = CleanDisplayText(*text, 4 * characters_max, Pointer(name));
  if (!clean) {
    Reject(name, "text", clean.error().message);
    return std::nullopt;
  }
  return std::move(*clean);
}

std::optional<int64_t> FieldReader::Int(std::string_view name, IntRange range) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const auto number = AsInteger(*value);
  if (!number) {
    Reject(name, "type", "must be a whole number");
    return std::nullopt;
  }
  if (*number < range.least || *number > range.most) {
    Reject(name, "range", fmt::format("must be from {} to {}", range.least, range.most));
    return std::nullopt;
  }
  return number;
}

std::optional<std::vector<int64_t>> FieldReader::Ints(std::string_view name,
                                                      IntRange range,
                                                      size_t most) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array() || value->size() > most) {
    Reject(name, "type", fmt::format("must be a list of at most {} whole numbers", most));
    return std::nullopt;
  }
  std::vector<int64_t> numbers;
  for (const nlohmann::json& one : *value) {
    const auto number = AsInteger(one);
    if (!number || *number < range.least || *number > range.most) {
      Reject(name, "range", fmt::format("must be from {} to {}", range.least, range.most));
      return std::nullopt;
    }
    numbers.push_back(*number);
  }
  return numbers;
}

std::optional<bool> FieldReader::Bool(std::string_view name) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    Reject(name, "type", "must be true or false");
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<std::string> FieldReader::OneOf(std::string_view name,
                                              std::span<const std::string_view> words) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) {
    const auto& text = value->get_ref<const std::string&>();
    if (std::ranges::find(words, text) != words.end()) return text;
  }
  Reject(name, "range", fmt::format("must be one of: {}", fmt::join(words, ", ")));
  return std::nullopt;
}

std::optional<std::vector<std::string>> FieldReader::SetOf(
    std::string_view name, std::span<const std::string_view> words) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  std::vector<std::string> set;
  bool good = value->is_array() && !value->empty();
  for (size_t i = 0; good && i < value->size(); ++i) {
    const nlohmann::json& item = (*value)[i];
    good = item.is_string();
    if (!good) break;
    const auto& text = item.get_ref<const std::string&>();
    good =
        std::ranges::find(words, text) != words.end() && std::ranges::find(set, text) == set.end();
    set.push_back(text);
  }
  if (!good) {
    Reject(name, "range", fmt::format("must be a list of some of: {}", fmt::join(words, ", ")));
    return std::nullopt;
  }
  return set;
}

bool FieldReader::TakeNull(std::string_view name) {
  const auto found = object_->find(name);
  if (found == object_->end() || !found->is_null()) return false;
  known_.emplace_back(name);
  return true;
}

std::optional<FieldReader> FieldReader::Object(std::string_view name) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) {
    Reject(name, "type", "must be an object");
    return std::nullopt;
  }
  return FieldReader(*value, *errors_, Pointer(name));
}

void FieldReader::Require(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (!object_->contains(name)) Reject(name, "required", "is missing");
  }
}

void FieldReader::RejectUnknown() {
  for (const auto& [name, value] : object_->items()) {
    if (std::ranges::find(known_, name) == known_.end()) {
      Reject(name, "unknown", "is not known here");
    }
  }
}

tl::unexpected<Problem> NoFields(FieldErrors errors) {
  Problem problem{.code = ProblemCode::kInvalidField};
  problem.detail = errors.front().pointer + " " + errors.front().detail + ".";
  if (errors.size() > 1) problem.detail += fmt::format(" And {} more.", errors.size() - 1);
  problem.errors = std::move(errors);
  return No(std::move(problem));
}

}  // namespace sluice::portal
