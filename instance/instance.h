// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

// One machine: store, cards, agent, control, runtime, portal and server, put together.
namespace sluice::instance {

struct InstanceOptions {
  std::string state_folder;             // Empty: DefaultStateFolder().
  std::string address = "127.0.0.1";    // Any that is not loopback is served with TLS.
  uint16_t port = 8480;                 // 0: the kernel picks.
  std::optional<std::string> simulate;  // See CardsWish.
  std::string tls_certificate;          // PEM; empty: one is made where TLS is needed.
  std::string tls_key;
  bool tls = false;                         // TLS on loopback too.
  std::vector<std::string> names;           // Further names for the certificate that is made.
  std::vector<std::string> cgroup_folders;  // See runtime::SandboxOptions.
  std::string web_root;                     // Empty: as the layout says.
  bool hardened = false;                    // See agent::LocalAgentOptions::fronts.
};

// What to tell whoever started it.
struct Greeting {
  std::string url;          // "http://127.0.0.1:8480".
  std::string fingerprint;  // Of a certificate that was made; empty without.
  std::string admin_name;   // Only at the first start.
  std::string one_time_password;
  std::vector<std::string> cards;  // "Sluice simulated GPU 24 GiB (simulated)", one each.
  std::vector<std::string> notes;  // Other things worth knowing: a web client that is not built.
};

// Thread-safe. Runs until it is destroyed; desktops go on without it.
class Instance {
 public:
  // Fails with a sentence that says what to do: kAlreadyExists (another one runs on this folder, or
  // the port is taken), kPermissionDenied, kFailedPrecondition (a newer version wrote the state),
  // kNotFound (a part of Sluice is missing), kInvalidArgument.
  static Result<std::unique_ptr<Instance>> Start(const InstanceOptions& options);
  virtual ~Instance() = default;

  virtual const Greeting& greeting() const = 0;
};

}  // namespace sluice::instance
