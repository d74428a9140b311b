// SPDX-License-Identifier: Apache-2.0
// Bodies of requests, byte by byte from outside: the first byte picks the route, the rest is the
// body. Whatever comes, the answer is a finished response with a known status.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "portal/internal/gateway.h"
#include "portal/internal/json_body.h"
#include "portal/internal/testing/fakes.h"
#include "store/memory.h"

namespace sluice::portal {
namespace {

struct Target {
  std::unique_ptr<store::Store> store = store::OpenMemory();
  ManualClock clock;
  SystemRandom random;
  testing::FakeControl control{*store};
  testing::FakeAgent agent;
  std::unique_ptr<AuditLog> audit = *AuditLog::Create(*store, clock);
  App app;
  Gateway gateway{app};
  std::vector<const Route*> routes;
  uint64_t count = 0;

  static Options Cheap() {
    Options options;
    options.password_passes = 1;
    options.password_memory_bytes = 8192;
    return options;
  }

  Target() : app({*store, control, agent, *audit, clock, random, {}}, Cheap()) {
    SLUICE_CHECK(EnsureFirstAdmin(*store, *audit, clock, random, Cheap()).has_value());
    const Desktop desktop{.id = DesktopId("dsk_1"),
                          .name = "d",
                          .owner = UserId("usr_1"),
                          .reason = "x",
                          .created_at = clock.Now()};
    const store::Write write = store::Put(desktop, 0);
    SLUICE_CHECK(store->Commit({&write, 1}).has_value());
    control.SetOffers(
        {{.gpu_model = "m", .largest_ever = GiB(24), .fits_now = 1, .answer = "now"}});
    for (const Route& route : Routes()) {
      if (route.takes_body) routes.push_back(&route);
    }
  }
};

// Whatever is made by chance would pile up; a fresh world now and then keeps memory flat.
Target& Fresh() {
  static std::unique_ptr<Target> target;
  if (target == nullptr || target->count > 5'000) target = std::make_unique<Target>();
  ++target->count;
  return *target;
}

void TryBody(const uint8_t* data, size_t size) {
  if (size == 0) return;
  Target& target = Fresh();
  const Route& route = *target.routes[data[0] % target.routes.size()];
  net::Request request;
  request.method = route.method;
  request.path = route.path;
  const size_t id = request.path.find("{id}");
  if (id != std::string::npos) request.path.replace(id, 4, "dsk_1");
  request.body.assign(reinterpret_cast<const char*>(data) + 1, size - 1);
  request.peer = net::PeerProcess{.pid = 1, .uid = 0};
  request.remote = "unix";
  request.headers.Set("Content-Type", "application/json");
  request.headers.Set("Idempotency-Key", std::to_string(target.count));
  if (const auto desktop = target.store->Get(store::Kind::kDesktop, "dsk_1")) {
    request.headers.Set("If-Match", "\"" + std::to_string(desktop->version) + "\"");
  }
  const net::Response response = target.gateway.Serve(request);
  SLUICE_CHECK(response.status >= 200 && response.status < 500);
  SLUICE_CHECK(NestsDeeper(response.body, kJsonDepthMax) == false);
}

}  // namespace
}  // namespace sluice::portal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::portal::TryBody(data, size);
  return 0;
}
