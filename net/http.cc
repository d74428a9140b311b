// SPDX-License-Identifier: Apache-2.0
#include "net/http.h"

#include <algorithm>

#include "net/internal/target.h"

namespace sluice::net {

void Headers::Add(std::string name, std::string value) {
  all_.emplace_back(std::move(name), std::move(value));
}

void Headers::Set(std::string_view name, std::string value) {
  std::erase_if(all_, [&](const auto& field) { return internal::EqualNoCase(field.first, name); });
  all_.emplace_back(std::string(name), std::move(value));
}

std::string_view Headers::Get(std::string_view name) const {
  for (const auto& [key, value] : all_) {
    if (internal::EqualNoCase(key, name)) return value;
  }
  return {};
}

bool Headers::Has(std::string_view name) const {
  return std::any_of(all_.begin(), all_.end(), [&](const auto& field) {
    return internal::EqualNoCase(field.first, name);
  });
}

std::string_view Request::Query(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return {};
}

std::string_view Request::Cookie(std::string_view name) const {
  // HTTP/1.1 sends one field; a proxy in front may have split it.
  for (const auto& [key, value] : headers.all()) {
    if (!internal::EqualNoCase(key, "Cookie")) continue;
    const std::string_view found = internal::FindCookie(value, name);
    if (!found.empty()) return found;
  }
  return {};
}

}  // namespace sluice::net
