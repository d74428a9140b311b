// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/units.h"

namespace sluice::portal {

// Writes JSON straight into text: answers are large and many, a tree in between would cost more
// than everything else. Text that is not UTF-8 (names from inside a desktop) comes out with U+FFFD.
// The caller balances Begin and End. One thread at a time.
class JsonWriter {
 public:
  JsonWriter& BeginObject();
  JsonWriter& EndObject();
  JsonWriter& BeginArray();
  JsonWriter& EndArray();
  JsonWriter& Key(std::string_view name);

  JsonWriter& Text(std::string_view value);
  JsonWriter& Int(int64_t value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();
  JsonWriter& Time(TimePoint value);               // RFC 3339.
  JsonWriter& TimeOrNull(TimePoint value);         // Null for the zero time.
  JsonWriter& TextOrNull(std::string_view value);  // Null for empty text.
  JsonWriter& Raw(std::string_view json);          // A value that is JSON already.

  JsonWriter& Field(std::string_view name, std::string_view value) { return Key(name).Text(value); }
  JsonWriter& Field(std::string_view name, const char* value) { return Key(name).Text(value); }
  JsonWriter& Field(std::string_view name, const std::string& value) {
    return Key(name).Text(value);
  }
  template <std::integral T>
  JsonWriter& Field(std::string_view name, T value) {
    Key(name);
    if constexpr (std::same_as<T, bool>) {
      return Bool(value);
    } else {
      return Int(static_cast<int64_t>(value));
    }
  }

  const std::string& text() const { return out_; }
  std::string Take() { return std::move(out_); }

 private:
  void Separate();

  std::string out_;
  bool first_ = true;  // No comma before the next value.
};

// Appends `value` as a JSON string with its quotes.
void AppendJsonText(std::string& out, std::string_view value);

}  // namespace sluice::portal
