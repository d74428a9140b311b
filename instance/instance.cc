// SPDX-License-Identifier: Apache-2.0
#include "instance/instance.h"

#include <fmt/core.h>
#include <map>
#include <unistd.h>
#include <utility>

#include "agent/local_agent.h"
#include "base/host_name.h"
#include "base/log.h"
#include "control/control.h"
#include "instance/cards.h"
#include "instance/folders.h"
#include "instance/layout.h"
#include "instance/plan.h"
#include "instance/seed.h"
#include "instance/version.h"
#include "net/server.h"
#include "portal/audit.h"
#include "portal/portal.h"
#include "runtime/sandbox.h"
#include "store/sqlite.h"

namespace sluice::instance {
namespace {

bool IsLoopback(const std::string& address) {
  return address == "::1" || address == "localhost" || address.starts_with("127.");
}

std::string UrlOf(const std::string& address, uint16_t port, bool tls) {
  const bool v6 = address.find(':') != std::string::npos;
  std::string host = v6 ? "[" + address + "]" : address;
  if (address == "0.0.0.0" || address == "::") host = HostName();
  return fmt::format("{}://{}:{}", tls ? "https" : "http", host, port);
}

// Declared in the order in which the parts need each other; destroyed the other way round.
class Machine final : public Instance {
 public:
  Machine(const InstanceOptions& options, Layout layout, std::string state, FolderLock lock)
      : options_(options),
        layout_(std::move(layout)),
        state_(std::move(state)),
        lock_(std::move(lock)) {}

  ~Machine() override;

  Result<void> Open();
  const Greeting& greeting() const override { return greeting_; }

 private:
  Result<void> OpenNode();
  Result<void> OpenControl();
  Result<void> OpenPortal();
  Result<net::Listen> TcpListen();
  void TellCards();
  void ForgetStopped();

  const InstanceOptions options_;
  const Layout layout_;
  const std::string state_;
  std::string volatile_;
  Greeting greeting_;
  FolderLock lock_;
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<portal::AuditLog> audit_;
  Cards cards_;
  std::unique_ptr<agent::Agent> agent_;
  std::unique_ptr<runtime::Runtime> runtime_;
  std::unique_ptr<control::Control> control_;
  std::unique_ptr<portal::Portal> portal_;
  std::unique_ptr<net::Server> server_;
};

Machine::~Machine() {
  server_.reset();
  portal_.reset();
  control_.reset();
  if (runtime_ != nullptr) ForgetStopped();
  runtime_.reset();
  agent_.reset();
  cards_ = {};
  if (!volatile_.empty()) RemoveVolatileFolderIfUnused(volatile_);
}

// A stopped desktop is made again from the store and its home, as after a reboot.
void Machine::ForgetStopped() {
  for (const DesktopId& desktop : runtime_->List()) {
    const auto status = runtime_->GetStatus(desktop);
    if (!status || status->phase != runtime::Phase::kPrepared) continue;
    if (auto removed = runtime_->Remove(desktop, /*keep_home=*/true); !removed) {
      Log(LogLevel::kWarning, "{}: {}", desktop.text(), removed.error().message);
    }
  }
}

Result<void> Machine::Open() {
  auto volatile_folder = PrepareVolatileFolder(state_);
  if (!volatile_folder) return Fail(volatile_folder.error());
  volatile_ = std::move(*volatile_folder);
  auto store = store::OpenSqlite(state_ + "/sluice.db");
  if (!store) return Fail(store.error());
  store_ = std::move(*store);
  if (auto seeded = SeedStore(*store_); !seeded) return seeded;
  auto audit = portal::AuditLog::Create(*store_, clock_);
  if (!audit) return Fail(audit.error());
  audit_ = std::move(*audit);
  if (auto opened = OpenNode(); !opened) return opened;
  if (auto opened = OpenControl(); !opened) return opened;
  return OpenPortal();
}

Result<void> Machine::OpenNode() {
  auto cards = OpenCards(layout_,
                         {.simulate = options_.simulate,
                          .note = state_ + "/simulate",
                          .simgpu_state = volatile_ + "/simgpu"});
  if (!cards) return Fail(cards.error());
  cards_ = std::move(*cards);
  TellCards();
  agent::LocalAgentOptions options;
  options.folder = SharesIn(volatile_);
  options.interposer = layout_.interposer;
  if (options_.hardened) options.fronts = layout_.fronts;
  options.cli = layout_.program;
  options.mps_control = MpsControlPipe();
  options.on_health = [](const GpuId& gpu, GpuHealth health, const std::string& reason) {
    Log(health == GpuHealth::kHealthy ? LogLevel::kInfo : LogLevel::kWarning,
        "{} is {}{}",
        gpu.text(),
        ToString(health),
        reason.empty() ? "" : ": " + reason);
  };
  auto agent = agent::StartLocalAgent(*cards_.backend, std::move(options));
  if (!agent) return Fail(agent.error());
  agent_ = std::move(*agent);
  return {};
}

void Machine::TellCards() {
  const auto cards = cards_.backend->Read();
  if (!cards) return;
  std::map<std::string, int> counts;
  for (const device::Card& card : *cards) {
    const bool said = card.gpu.model.find("simulated") != std::string::npos;
    ++counts[card.gpu.model + (card.gpu.simulated && !said ? " (simulated)" : "")];
  }
  for (const auto& [model, count] : counts) {
    greeting_.cards.push_back(fmt::format("{} x {}", count, model));
  }
}

Result<void> Machine::OpenControl() {
  runtime::SandboxOptions options;
  options.state_folder = state_;
  options.volatile_folder = DesktopsIn(volatile_);
  options.supervisor = layout_.supervisor;
  options.cgroup_folders = options_.cgroup_folders;
  auto runtime = runtime::OpenSandbox(std::move(options));
  if (!runtime) return Fail(runtime.error());
  runtime_ = std::move(*runtime);
  for (const std::string& missing : runtime::MissingPrograms()) {
    greeting_.notes.push_back("No desktop can start: " + missing);
  }
  control_ = control::Control::Create({*store_, *agent_, *runtime_, *audit_, clock_},
                                      {.node = NodeId(HostName())});
  return {};
}

Result<net::Listen> Machine::TcpListen() {
  net::Listen listen;
  listen.address = options_.address == "localhost" ? "127.0.0.1" : options_.address;
  listen.port = options_.port;
  const bool given = !options_.tls_certificate.empty();
  if (!given && !options_.tls && IsLoopback(options_.address)) return listen;
  listen.tls =
      net::TlsFiles{.certificate_pem = options_.tls_certificate, .key_pem = options_.tls_key};
  if (given) return listen;
  // Made once and kept, so that a browser's exception stays right.
  listen.tls = net::TlsFiles{.certificate_pem = state_ + "/tls-certificate.pem",
                             .key_pem = state_ + "/tls-key.pem"};
  std::vector<std::string> names = options_.names;
  names.insert(names.end(), {"localhost", "127.0.0.1"});
  names.push_back(HostName());
  if (options_.address != "0.0.0.0" && options_.address != "::" && !IsLoopback(options_.address)) {
    names.push_back(options_.address);
  }
  auto own = net::EnsureCertificate(*listen.tls, names);
  if (!own) return Fail(own.error());
  greeting_.fingerprint = std::move(own->fingerprint);
  if (own->renewed) {
    greeting_.notes.push_back(
        "The certificate was about to end and was made again; browsers ask about it once more.");
  }
  return listen;
}

Result<void> Machine::OpenPortal() {
  portal::Options options;
  options.web_root = options_.web_root.empty() ? layout_.web : options_.web_root;
  options.version = kVersion;
  options.owner_uid = geteuid();
  if (options.web_root.empty()) {
    greeting_.notes.push_back("The web client is not built; run ./dev build for it.");
  }
  auto admin = portal::EnsureFirstAdmin(*store_, *audit_, clock_, random_, options);
  if (!admin) return Fail(admin.error());
  if (*admin) {
    greeting_.admin_name = (*admin)->name;
    greeting_.one_time_password = (*admin)->one_time_password;
  }
  const auto display = [this](const DesktopId& desktop) -> Result<std::string> {
    auto attachment = runtime_->Attach(desktop);
    if (!attachment) return Fail(attachment.error());
    return attachment->rfb_socket;
  };
  portal_ = portal::Portal::Create(
      {.store = *store_,
       .control = *control_,
       .agent = *agent_,
       .audit = *audit_,
       .clock = clock_,
       .random = random_,
       .display = display,
       .plan =
           [this](const portal::PlanQuestion& question) { return AnswerPlan(*store_, question); }},
      options);
  auto tcp = TcpListen();
  if (!tcp) return Fail(tcp.error());
  // We hold the folder's lock, so a socket that is there belongs to nobody.
  unlink(SocketOf(state_).c_str());
  net::Listen local;
  local.unix_path = SocketOf(state_);
  auto server = net::Server::Create({*tcp, local}, {}, portal_->handler());
  if (!server) {
    return Fail(server.error().code,
                server.error().message + ". Choose another with --port or --address");
  }
  server_ = std::move(*server);
  greeting_.url = UrlOf(options_.address, server_->Ports().front(), tcp->tls.has_value());
  lock_.Tell(greeting_.url);
  control_->Start();
  portal_->Start(*server_);
  return {};
}

}  // namespace

Result<std::unique_ptr<Instance>> Instance::Start(const InstanceOptions& options) {
  auto layout = FindLayout();
  if (!layout) return Fail(layout.error());
  std::string wanted = options.state_folder;
  if (wanted.empty()) {
    auto folder = DefaultStateFolder();
    if (!folder) return Fail(folder.error());
    wanted = std::move(*folder);
  }
  auto state = PrepareStateFolder(wanted);
  if (!state) return Fail(state.error());
  auto lock = FolderLock::Take(*state);
  if (!lock) return Fail(lock.error());
  auto machine =
      std::make_unique<Machine>(options, std::move(*layout), std::move(*state), std::move(*lock));
  if (auto opened = machine->Open(); !opened) return Fail(opened.error());
  return std::unique_ptr<Instance>(std::move(machine));
}

}  // namespace sluice::instance
