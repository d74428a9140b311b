// SPDX-License-Identifier: Apache-2.0
#include "net/internal/http_codec.h"

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <fmt/core.h>
#include <optional>
#include <utility>

#include "base/random.h"
#include "net/internal/target.h"

namespace sluice::net::internal {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

FeedOutcome OutcomeOf(const error_code& error) {
  if (error == http::error::header_limit) return FeedOutcome::kHeaderTooLarge;
  if (error == http::error::body_limit) return FeedOutcome::kBodyTooLarge;
  return FeedOutcome::kMalformed;
}

std::string ToStdString(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

template <typename Fields>
Headers HeadersOf(const Fields& fields) {
  Headers headers;
  for (const auto& field : fields) {
    headers.Add(ToStdString(field.name_string()), ToStdString(field.value()));
  }
  return headers;
}

// put() until the message is done, the input is used up, or something is wrong.
template <typename Parser>
FeedOutcome FeedParser(Parser& parser, std::string_view input, size_t& consumed) {
  consumed = 0;
  while (!parser.is_done()) {
    if (consumed == input.size()) return FeedOutcome::kNeedMore;
    error_code error;
    const size_t used = parser.put(
        boost::asio::const_buffer(input.data() + consumed, input.size() - consumed), error);
    consumed += used;
    if (error == http::error::need_more) {
      if (used == 0 || consumed == input.size()) return FeedOutcome::kNeedMore;
      continue;
    }
    if (error) return OutcomeOf(error);
  }
  return FeedOutcome::kDone;
}

class BeastRequestParser final : public RequestParser {
 public:
  BeastRequestParser(size_t header_bytes_max, size_t body_bytes_max) {
    parser_.header_limit(static_cast<std::uint32_t>(header_bytes_max));
    parser_.body_limit(body_bytes_max);
    parser_.eager(true);
  }

  FeedOutcome Feed(std::string_view input, size_t& consumed) override {
    return FeedParser(parser_, input, consumed);
  }

  bool WantsContinue() override {
    if (continued_ || !parser_.is_header_done() || parser_.is_done()) return false;
    continued_ = true;
    const auto expect = parser_.get()[http::field::expect];
    return EqualNoCase({expect.data(), expect.size()}, "100-continue");
  }

  ParsedRequest Take() override {
    auto message = parser_.release();
    ParsedRequest out;
    out.keep_alive = message.keep_alive();
    out.http_1_0 = message.version() < 11;
    out.request.method = ToStdString(message.method_string());
    out.request.target = ToStdString(message.target());
    out.request.headers = HeadersOf(message);
    out.request.body = std::move(message.body());
    return out;
  }

 private:
  http::request_parser<http::string_body> parser_;
  bool continued_ = false;
};

class BeastResponseParser final : public ResponseParser {
 public:
  BeastResponseParser(size_t body_bytes_max, bool head_request) {
    parser_.header_limit(256 * 1024);
    if (body_bytes_max == 0) {
      parser_.body_limit(boost::none);
    } else {
      parser_.body_limit(body_bytes_max);
    }
    parser_.eager(true);
    parser_.skip(head_request);
  }

  FeedOutcome Feed(std::string_view input, size_t& consumed) override {
    return FeedParser(parser_, input, consumed);
  }

  FeedOutcome FeedEnd() override {
    if (!parser_.got_some()) return FeedOutcome::kMalformed;
    error_code error;
    parser_.put_eof(error);
    return error || !parser_.is_done() ? FeedOutcome::kMalformed : FeedOutcome::kDone;
  }

  bool HeadDone() const override { return parser_.is_header_done(); }
  bool KeepAlive() const override { return parser_.get().keep_alive(); }

  std::string TakeBody() override { return std::exchange(parser_.get().body(), {}); }

  Response TakeHead() override {
    Response response;
    response.status = static_cast<int>(parser_.get().result_int());
    response.headers = HeadersOf(parser_.get());
    return response;
  }

 private:
  http::response_parser<http::string_body> parser_;
};

bool ValidFieldChar(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

void AppendField(std::string& out, std::string_view name, std::string_view value) {
  for (const char c : name) out.push_back(ValidFieldChar(c) && c != ':' && c != ' ' ? c : '?');
  out += ": ";
  for (const char c : value) out.push_back(ValidFieldChar(c) ? c : '?');
  out += "\r\n";
}

}  // namespace

std::unique_ptr<RequestParser> RequestParser::Create(size_t header_bytes_max,
                                                     size_t body_bytes_max) {
  return std::make_unique<BeastRequestParser>(header_bytes_max, body_bytes_max);
}

std::unique_ptr<ResponseParser> ResponseParser::Create(size_t body_bytes_max, bool head_request) {
  return std::make_unique<BeastResponseParser>(body_bytes_max, head_request);
}

std::string_view ReasonPhrase(int status) {
  const auto text = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)));
  return {text.data(), text.size()};
}

std::string SerializeHead(int status, const Headers& headers, const HeadForm& form) {
  std::string out;
  out.reserve(512);
  out += fmt::format("HTTP/1.1 {} {}\r\n", status, ReasonPhrase(status));
  for (const auto& [name, value] : headers.all()) {
    // The framing is the server's: a handler's idea of it would corrupt the connection.
    if (EqualNoCase(name, "Content-Length") || EqualNoCase(name, "Transfer-Encoding") ||
        (EqualNoCase(name, "Connection") && status != 101)) {
      continue;
    }
    AppendField(out, name, value);
  }
  if (!form.date.empty()) AppendField(out, "Date", form.date);
  if (form.body == BodyForm::kSized) {
    AppendField(out, "Content-Length", std::to_string(form.body_bytes));
  } else if (form.body == BodyForm::kChunked) {
    AppendField(out, "Transfer-Encoding", "chunked");
  }
  if (!form.keep_alive) AppendField(out, "Connection", "close");
  out += "\r\n";
  return out;
}

std::string SerializeRequest(const Request& request, std::string_view host) {
  std::string out;
  out.reserve(256 + request.body.size());
  out += request.method.empty() ? "GET" : request.method;
  out += ' ';
  for (const char c : request.target.empty() ? std::string_view("/") : request.target) {
    out.push_back(static_cast<unsigned char>(c) > 0x20 && c != 0x7f ? c : '?');
  }
  out += " HTTP/1.1\r\n";
  if (!request.headers.Has("Host")) AppendField(out, "Host", host);
  for (const auto& [name, value] : request.headers.all()) {
    if (!EqualNoCase(name, "Content-Length")) AppendField(out, name, value);
  }
  const bool has_body = !request.body.empty() || request.method == "POST" ||
                        request.method == "PUT" || request.method == "PATCH";
  if (has_body) AppendField(out, "Content-Length", std::to_string(request.body.size()));
  out += "\r\n";
  out += request.body;
  return out;
}

Response Problem(int status, std::string_view code, std::string_view detail) {
  const std::string id = fmt::format("req_{:016x}", SystemRandom().Next());
  Response response;
  response.status = status;
  response.headers.Add("Content-Type", "application/problem+json");
  response.headers.Add("Cache-Control", "no-store");
  response.headers.Add("X-Content-Type-Options", "nosniff");
  response.headers.Add("X-Request-Id", id);
  response.body = fmt::format(
      R"({{"type":"https://sluice.dev/problems/{}","title":"{}","status":{},"detail":"{}",)"
      R"("code":"{}","request_id":"{}"}})",
      code,
      ReasonPhrase(status),
      status,
      detail,
      code,
      id);
  return response;
}

}  // namespace sluice::net::internal
