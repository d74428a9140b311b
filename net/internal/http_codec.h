// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "net/http.h"

// The wire form of HTTP/1.1 messages. Parsing is Beast's; this header hides it.
namespace sluice::net::internal {

enum class FeedOutcome { kNeedMore, kDone, kMalformed, kHeaderTooLarge, kBodyTooLarge };

struct ParsedRequest {
  Request request;  // Method, target, headers, body; the rest is the caller's to fill in.
  bool keep_alive = true;
  bool http_1_0 = false;
};

// Reads one request. One thread at a time.
class RequestParser {
 public:
  static std::unique_ptr<RequestParser> Create(size_t header_bytes_max, size_t body_bytes_max);
  virtual ~RequestParser() = default;

  // Sets `consumed` to how many bytes of `input` are done with; the rest must be fed again, with
  // more behind it.
  virtual FeedOutcome Feed(std::string_view input, size_t& consumed) = 0;
  // True once, when the head asks for "100 Continue" and the body has not come.
  virtual bool WantsContinue() = 0;
  // After kDone.
  virtual ParsedRequest Take() = 0;
};

// Reads one response. One thread at a time.
class ResponseParser {
 public:
  // `head_request`: the answer has no body whatever its head says.
  static std::unique_ptr<ResponseParser> Create(size_t body_bytes_max, bool head_request);
  virtual ~ResponseParser() = default;
  virtual FeedOutcome Feed(std::string_view input, size_t& consumed) = 0;
  // The peer closed: kDone if that is how this body ends.
  virtual FeedOutcome FeedEnd() = 0;
  virtual bool HeadDone() const = 0;
  virtual bool KeepAlive() const = 0;
  // The body as far as it has come; taking it away keeps a stream's memory flat.
  virtual std::string TakeBody() = 0;
  virtual Response TakeHead() = 0;
};

enum class BodyForm { kSized, kChunked, kUntilClose, kNone };

struct HeadForm {
  BodyForm body = BodyForm::kSized;
  size_t body_bytes = 0;
  bool keep_alive = true;
  std::string_view date;  // IMF-fixdate.
};

// The head of a response. Characters that would break a field are replaced by "?".
std::string SerializeHead(int status, const Headers& headers, const HeadForm& form);
// A request with its body; Host and Content-Length are added.
std::string SerializeRequest(const Request& request, std::string_view host);
std::string_view ReasonPhrase(int status);
// A problem+json answer of the server itself: `code` and `detail` hold no quotes or backslashes.
Response Problem(int status, std::string_view code, std::string_view detail);

}  // namespace sluice::net::internal
