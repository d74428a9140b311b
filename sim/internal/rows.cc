// SPDX-License-Identifier: Apache-2.0
#include "sim/internal/rows.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <csv.h>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <zlib.h>

namespace sluice::sim {
namespace {

// libcsv doubles its buffer as a field grows and asks here each time, so this is what bounds it.
// The wall is above every `field_bytes_max` in use, which gives the better message.
constexpr size_t kBufferBytesMax = size_t{1} << 20;

void* BoundedRealloc(void* old, size_t bytes) {
  return bytes > kBufferBytesMax ? nullptr : std::realloc(old, bytes);
}

class Parser {
 public:
  Parser(const std::string& path, const RowLimits& limits, const OnRow& on_row)
      : path_(path), limits_(limits), on_row_(on_row) {
    csv_init(&csv_, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL);
    csv_set_delim(&csv_, static_cast<unsigned char>(limits.separator));
    csv_set_realloc_func(&csv_, BoundedRealloc);
  }
  ~Parser() { csv_free(&csv_); }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  Result<void> Feed(const char* bytes, size_t count) {
    if (csv_parse(&csv_, bytes, count, OnField, OnRowEnd, this) != count) {
      return Broken();
    }
    return Answer();
  }

  Result<void> Finish() {
    if (csv_fini(&csv_, OnField, OnRowEnd, this) != 0) {
      return Broken();
    }
    return Answer();
  }

  int64_t line() const { return line_; }

 private:
  static void OnField(void* field, size_t bytes, void* self) {
    static_cast<Parser*>(self)->TakeField(std::string_view(static_cast<const char*>(field), bytes));
  }
  static void OnRowEnd(int ended_by, void* self) { static_cast<Parser*>(self)->EndRow(ended_by); }

  void TakeField(std::string_view field) {
    if (failure_) {
      return;
    }
    if (row_.fields.size() == limits_.fields_max) {
      failure_ =
          At(Code::kResourceExhausted, fmt::format("more than {} columns", limits_.fields_max));
    } else if (field.size() > limits_.field_bytes_max) {
      failure_ = At(
          Code::kResourceExhausted,
          fmt::format(
              "column {}: longer than {} bytes", row_.fields.size() + 1, limits_.field_bytes_max));
    } else {
      row_.fields.emplace_back(field);
      for (const char c : field) {
        newlines_inside_ += c == '\n' ? 1 : 0;
      }
    }
  }

  // CR LF ends a row twice in libcsv's eyes: the LF then counts as part of the CR before it.
  void EndRow(int ended_by) {
    const bool second_half = ended_by == '\n' && last_end_ == '\r' && row_.fields.empty();
    last_end_ = ended_by;
    if (failure_ || second_half) {
      return;
    }
    if (!row_.fields.empty()) {
      row_.line = line_;
      if (auto taken = on_row_(row_); !taken) {
        failure_ = taken.error();
        return;
      }
    }
    line_ += 1 + newlines_inside_;
    newlines_inside_ = 0;
    row_.fields.clear();
  }

  Result<void> Answer() const {
    if (failure_) {
      return Fail(*failure_);
    }
    return {};
  }

  Result<void> Broken() const {
    if (failure_) {
      return Fail(*failure_);
    }
    if (csv_error(&csv_) == CSV_EPARSE) {
      return Fail(
          At(Code::kInvalidArgument,
             fmt::format("column {}: a quote that does not match", row_.fields.size() + 1)));
    }
    return Fail(At(
        Code::kResourceExhausted,
        fmt::format(
            "column {}: longer than {} bytes", row_.fields.size() + 1, limits_.field_bytes_max)));
  }

  Error At(Code code, const std::string& what) const {
    return {code, fmt::format("{}: line {}: {}", path_, line_, what), {}};
  }

  const std::string& path_;
  const RowLimits& limits_;
  const OnRow& on_row_;
  mutable csv_parser csv_{};  // csv_error() takes a pointer to a non-const parser.
  Row row_;
  int64_t line_ = 1;
  int64_t newlines_inside_ = 0;
  int last_end_ = -1;
  std::optional<Error> failure_;
};

struct CloseGz {
  void operator()(gzFile_s* file) const { gzclose(file); }
};

}  // namespace

Result<void> ForEachRow(const std::string& path, const RowLimits& limits, const OnRow& on_row) {
  const std::unique_ptr<gzFile_s, CloseGz> file(gzopen(path.c_str(), "rb"));
  if (file == nullptr) {
    return Fail(Code::kNotFound, fmt::format("{}: {}", path, std::strerror(errno)));
  }
  Parser parser(path, limits, on_row);
  std::array<char, 65'536> bytes;
  while (true) {
    const int count = gzread(file.get(), bytes.data(), bytes.size());
    int status = Z_OK;
    const char* why = gzerror(file.get(), &status);
    if (count > 0) {
      if (auto fed = parser.Feed(bytes.data(), static_cast<size_t>(count)); !fed) {
        return fed;
      }
    }
    // A file that ends in the middle of a gzip stream gives its last bytes and Z_BUF_ERROR.
    if (count < 0 || status != Z_OK) {
      return Fail(Code::kDataLoss,
                  fmt::format("{}: line {}: cannot be read: {}",
                              path,
                              parser.line(),
                              status == Z_BUF_ERROR ? "the gzip stream is cut off" : why));
    }
    if (count == 0) {
      return parser.Finish();
    }
  }
}

}  // namespace sluice::sim
