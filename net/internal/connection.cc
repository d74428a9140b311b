// SPDX-License-Identifier: Apache-2.0
#include "net/internal/connection.h"

#include <atomic>
#include <exception>
#include <utility>

#include "base/log.h"
#include "net/internal/stream_body.h"
#include "net/internal/target.h"
#include "net/internal/web_socket_session.h"

namespace sluice::net::internal {
namespace {

constexpr std::chrono::milliseconds kLingerMax{2'000};
constexpr size_t kLingerBytesMax = size_t{1} << 20;
// Bodies up to this leave in the same buffer as their head.
constexpr size_t kJoinBodyBytesMax = 16 * 1024;

struct Refusal {
  FeedOutcome outcome;
  int status;
  const char* code;
  const char* detail;
};

constexpr Refusal kRefusals[] = {
    {FeedOutcome::kMalformed, 400, "bad_request", "This is not a well-formed HTTP/1.1 request."},
    {FeedOutcome::kHeaderTooLarge, 431, "too_large", "The head of the request is too large."},
    {FeedOutcome::kBodyTooLarge, 413, "too_large", "The body of the request is too large."},
};

// Why a request cannot be an upgrade; null if it can.
const char* UpgradeFault(const Request& request) {
  if (request.method != "GET") return "A WebSocket starts with GET.";
  if (!HasToken(request.headers.Get("Connection"), "upgrade") ||
      !HasToken(request.headers.Get("Upgrade"), "websocket")) {
    return "This address speaks WebSocket only.";
  }
  if (request.headers.Get("Sec-WebSocket-Version") != "13") return "Only WebSocket version 13.";
  if (request.headers.Get("Sec-WebSocket-Key").size() != 24) return "No Sec-WebSocket-Key.";
  return nullptr;
}

Headers UpgradeHead(std::string_view key, const std::string& protocol) {
  Headers head;
  head.Add("Upgrade", "websocket");
  head.Add("Connection", "Upgrade");
  head.Add("Sec-WebSocket-Accept", AcceptKey(key));
  if (!protocol.empty()) head.Add("Sec-WebSocket-Protocol", protocol);
  return head;
}

}  // namespace

// Thread-safe; answers at most once.
class ConnectionResponder final : public Responder {
 public:
  ConnectionResponder(std::shared_ptr<Connection> connection, const Request& request)
      : connection_(std::move(connection)),
        serial_(connection_->serial_),
        http_1_0_(connection_->http_1_0_),
        upgrade_fault_(UpgradeFault(request)),
        key_(upgrade_fault_ == nullptr ? request.headers.Get("Sec-WebSocket-Key")
                                       : std::string_view()) {}

  ~ConnectionResponder() override {
    if (!answered_) {
      Send(Problem(500, "internal", "The request was dropped without an answer."));
    }
  }

  void Send(Response response) override {
    if (answered_.exchange(true)) return;
    connection_->channel_->Run(
        [connection = connection_, serial = serial_, response = std::move(response)] {
          connection->Answer(serial, response);
        });
  }

  std::shared_ptr<ResponseStream> Stream(Response head) override {
    auto stream = std::make_shared<StreamBody>(
        connection_->channel_, connection_, connection_->options_->stream_queue_bytes_max);
    if (answered_.exchange(true)) {
      stream->Gone();
      return stream;
    }
    connection_->channel_->Run(
        [connection = connection_, serial = serial_, head = std::move(head), stream] {
          connection->BeginStream(serial, head, stream);
        });
    return stream;
  }

  std::shared_ptr<WebSocket> AcceptWebSocket(const WebSocketOptions& options) override {
    if (upgrade_fault_ != nullptr || http_1_0_) {
      Response refusal = Problem(
          426, "bad_request", upgrade_fault_ != nullptr ? upgrade_fault_ : "HTTP/1.1 only.");
      refusal.headers.Add("Upgrade", "websocket");
      Send(std::move(refusal));
      return nullptr;
    }
    if (answered_.exchange(true)) return nullptr;
    auto session =
        std::make_shared<WebSocketSession>(connection_->channel_, connection_->options_, options);
    connection_->channel_->Run([connection = connection_,
                                serial = serial_,
                                head = UpgradeHead(key_, options.protocol),
                                session] { connection->Upgrade(serial, head, session); });
    return session;
  }

 private:
  const std::shared_ptr<Connection> connection_;
  const uint64_t serial_;
  const bool http_1_0_;
  const char* const upgrade_fault_;
  const std::string key_;
  std::atomic<bool> answered_{false};
};

Connection::Connection(std::shared_ptr<Channel> channel,
                       std::shared_ptr<const ServerOptions> options,
                       std::shared_ptr<const Handler> handler,
                       Accepted accepted)
    : channel_(std::move(channel)),
      options_(std::move(options)),
      handler_(std::move(handler)),
      accepted_(std::move(accepted)) {}

Channel::Events Connection::MakeEvents() {
  const auto self = shared_from_this();
  Channel::Events events;
  events.data = [self](std::string_view bytes) { self->OnData(bytes); };
  events.end = [self] { self->OnEnd(); };
  events.drained = [self] { self->OnDrained(); };
  events.deadline = [self] { self->OnDeadline(); };
  events.stop = [self] {
    if (self->stream_) self->stream_->Gone();
  };
  return events;
}

void Connection::Start() {
  channel_->SetEvents(MakeEvents());
  channel_->SetDeadline(options_->request_time_max);
  channel_->Handshake([self = shared_from_this()](bool ok) {
    if (!ok) return self->channel_->Close();
    self->AwaitRequest();
    self->channel_->SetDeadline(self->options_->request_time_max);
    self->channel_->StartReading();
  });
}

void Connection::AwaitRequest() {
  state_ = State::kReading;
  request_begun_ = false;
  parser_.reset();
  channel_->SetDeadline(options_->idle_time_max);
  channel_->PauseReading(false);
}

void Connection::OnData(std::string_view bytes) {
  switch (state_) {
    case State::kReading:
      input_.append(bytes);
      return Parse();
    case State::kHandling:
    case State::kResponding:
      // A pipelined request: it waits here, and the rest of it with the peer.
      input_.append(bytes);
      return channel_->PauseReading(true);
    case State::kLingering:
      lingered_bytes_ += bytes.size();
      if (lingered_bytes_ > kLingerBytesMax) channel_->Close();
      return;
    case State::kStreaming:
    case State::kUpgraded:
      return;
  }
}

void Connection::OnEnd() {
  peer_ended_ = true;
  if (state_ == State::kHandling || state_ == State::kResponding) return;
  const auto self = shared_from_this();
  channel_->Close();
  if (stream_) stream_->Gone();
}

void Connection::OnDrained() {
  if (state_ != State::kResponding) return;
  if (!keep_alive_ || peer_ended_) return StartLinger();
  AwaitRequest();
  if (!input_.empty()) Parse();
}

void Connection::OnDeadline() {
  if (state_ == State::kReading && request_begun_) {
    return Refuse(Problem(408, "bad_request", "The request took too long to arrive."));
  }
  channel_->Close();
}

void Connection::Parse() {
  if (input_.empty() || channel_->closed()) return;
  if (!parser_) {
    parser_ = RequestParser::Create(options_->header_bytes_max, options_->body_bytes_max);
  }
  if (!request_begun_) {
    request_begun_ = true;
    channel_->SetDeadline(options_->request_time_max);
  }
  size_t consumed = 0;
  const FeedOutcome outcome = parser_->Feed(input_, consumed);
  input_.erase(0, consumed);
  if (outcome == FeedOutcome::kNeedMore) {
    if (parser_->WantsContinue()) channel_->Send(std::string("HTTP/1.1 100 Continue\r\n\r\n"));
    return;
  }
  if (outcome != FeedOutcome::kDone) return RefuseRequest(outcome);
  ParsedRequest parsed = parser_->Take();
  parser_.reset();
  Dispatch(std::move(parsed));
}

void Connection::RefuseRequest(FeedOutcome outcome) {
  for (const Refusal& refusal : kRefusals) {
    if (refusal.outcome == outcome) {
      return Refuse(Problem(refusal.status, refusal.code, refusal.detail));
    }
  }
}

void Connection::Refuse(const Response& response) {
  keep_alive_ = false;
  head_request_ = false;
  WriteResponse(response);
}

void Connection::Dispatch(ParsedRequest parsed) {
  Request& request = parsed.request;
  ++serial_;
  keep_alive_ = parsed.keep_alive;
  http_1_0_ = parsed.http_1_0;
  head_request_ = request.method == "HEAD";
  size_t hosts = 0;
  for (const auto& [name, value] : request.headers.all()) hosts += EqualNoCase(name, "Host");
  if (hosts > 1 || (hosts == 0 && !http_1_0_)) {
    return Refuse(Problem(400, "bad_request", "A request names exactly one Host."));
  }
  auto target = ParseTarget(request.target);
  if (!target) {
    return Refuse(Problem(400, "bad_request", target.error().message));
  }
  request.path = std::move(target->path);
  request.query = std::move(target->query);
  request.remote = accepted_.remote;
  request.secure = accepted_.secure;
  request.peer = accepted_.peer;
  state_ = State::kHandling;
  channel_->ClearDeadline();
  auto responder = std::make_shared<ConnectionResponder>(shared_from_this(), request);
  try {
    (*handler_)(std::move(request), responder);
  } catch (const std::exception& error) {
    Log(LogLevel::kError, "a request handler threw: {}", error.what());
    responder->Send(Problem(500, "internal", "The request failed inside the server."));
  }
}

void Connection::Answer(uint64_t serial, const Response& response) {
  if (serial != serial_ || state_ != State::kHandling || channel_->closed()) return;
  WriteResponse(response);
}

void Connection::WriteResponse(const Response& response) {
  const std::string_view body =
      response.shared_body ? std::string_view(*response.shared_body) : response.body;
  const bool bodiless = response.status < 200 || response.status == 204 || response.status == 304;
  HeadForm form;
  form.body = bodiless ? BodyForm::kNone : BodyForm::kSized;
  form.body_bytes = body.size();
  form.keep_alive = keep_alive_;
  form.date = channel_->io().Date();
  std::string head = SerializeHead(response.status, response.headers, form);
  if (keep_alive_ && http_1_0_) head.insert(head.size() - 2, "Connection: keep-alive\r\n");
  state_ = State::kResponding;
  channel_->ClearDeadline();
  if (bodiless || head_request_) return channel_->Send(std::move(head));
  if (body.size() <= kJoinBodyBytesMax) {
    head.append(body);
    return channel_->Send(std::move(head));
  }
  channel_->Send(std::move(head));
  channel_->Send(response.shared_body ? response.shared_body
                                      : std::make_shared<const std::string>(response.body));
}

void Connection::StartLinger() {
  if (peer_ended_) return channel_->Close();
  state_ = State::kLingering;
  input_.clear();
  channel_->SetDeadline(kLingerMax);
  channel_->ShutdownSend();
  channel_->PauseReading(false);
}

void Connection::BeginStream(uint64_t serial,
                             const Response& head,
                             std::shared_ptr<StreamBody> stream) {
  if (serial != serial_ || state_ != State::kHandling || channel_->closed() || peer_ended_) {
    if (!channel_->closed() && peer_ended_) channel_->Close();
    return stream->Gone();
  }
  HeadForm form;
  form.body = http_1_0_ ? BodyForm::kUntilClose : BodyForm::kChunked;
  form.keep_alive = false;
  form.date = channel_->io().Date();
  channel_->Send(SerializeHead(head.status, head.headers, form));
  state_ = State::kStreaming;
  keep_alive_ = false;
  input_.clear();
  channel_->PauseReading(false);
  stream_ = std::move(stream);
  stream_->Begin(!http_1_0_);
}

void Connection::FinishStream() {
  if (state_ != State::kStreaming || channel_->closed()) return;
  stream_.reset();
  state_ = State::kResponding;
  if (channel_->QueuedBytes() == 0) StartLinger();
}

void Connection::Upgrade(uint64_t serial,
                         const Headers& head,
                         std::shared_ptr<WebSocketSession> session) {
  if (serial != serial_ || state_ != State::kHandling || channel_->closed() || peer_ended_) {
    if (!channel_->closed() && peer_ended_) channel_->Close();
    return session->Refused();
  }
  state_ = State::kUpgraded;
  HeadForm form;
  form.body = BodyForm::kNone;
  channel_->Send(SerializeHead(101, head, form));
  session->Attach(std::exchange(input_, {}));
}

}  // namespace sluice::net::internal
