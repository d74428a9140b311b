// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include "portal/internal/testing/world.h"

namespace sluice::portal {
namespace {

using testing::Ask;
using testing::DesktopBody;
using testing::Person;
using testing::World;
using Json = nlohmann::json;

class Desktops : public ::testing::Test {
 protected:
  void SetUp() override { world.AddCard("GPU-1"); }
  Json Create(const Json& body, int status) {
    return world.SendForJson(
        Ask("POST", "/v1/desktops").As(lina).Json(body).Key(std::to_string(++keys_)), status);
  }
  Desktop Add(DesktopState state) { return world.AddDesktop(UserId("usr_lina"), "work", state); }
  static std::string Path(const Desktop& desktop) { return "/v1/desktops/" + desktop.id.text(); }
  uint64_t VersionOf(const Desktop& desktop) {
    return world.Read<Desktop>(desktop.id.text()).version;
  }

  World world;
  Person lina = world.Somebody("lina", Role::kUser);
  Person omar = world.Somebody("omar", Role::kOperator);
  Person eve = world.Somebody("eve", Role::kUser);

 private:
  int keys_ = 0;
};

TEST_F(Desktops, AreAcceptedAndShown) {
  const auto response =
      world.Send(Ask("POST", "/v1/desktops").As(lina).Json(DesktopBody("compile")).Key("k"));
  ASSERT_EQ(response.status, 202) << response.body;
  const Json made = Json::parse(response.body);
  EXPECT_EQ(made["state"], "queued");
  EXPECT_EQ(made["desired_state"], "running");
  EXPECT_EQ(made["owner"]["name"], "lina");
  EXPECT_EQ(made["gpu"]["memory_bytes"], GiB(8).value());
  EXPECT_EQ(made["idle"]["stop_after_s"], 3600);
  EXPECT_EQ(made["stages"].size(), 4U);
  EXPECT_EQ(made["stages"][0]["usual_ms"], 20);
  EXPECT_TRUE(made["stages"][1]["usual_ms"].is_null());
  EXPECT_FALSE(made["reason"].get<std::string>().empty());
  const std::string location(response.headers.Get("Location"));
  const auto shown = world.Send(Ask("GET", location).As(lina));
  EXPECT_EQ(shown.headers.Get("ETag"), response.headers.Get("ETag"));
  EXPECT_EQ(Json::parse(shown.body), made);
  EXPECT_EQ(world.AuditRows().back().action, "desktop.create");
}

TEST_F(Desktops, GoBeforeOthersByAnOperatorsWishAlone) {
  const auto asked = [](int priority) {
    Json body = DesktopBody();
    body["gpu"]["priority"] = priority;
    return body;
  };
  EXPECT_EQ(Create(asked(-5), 202)["gpu"]["priority"], -5);
  EXPECT_EQ(Create(asked(5), 403)["detail"], "Only operators may ask for a priority above 0.");
  Create(asked(-101), 422);
  const Json made =
      world.SendForJson(Ask("POST", "/v1/desktops").As(omar).Json(asked(5)).Key("operator"), 202);
  EXPECT_EQ(world.Read<Desktop>(made["id"].get<std::string>()).value.request.priority, 5);
}

TEST_F(Desktops, AreRefusedAboveEveryCardWithTheLargestThatCouldBe) {
  Json body = DesktopBody();
  body["gpu"]["memory_bytes"] = GiB(25).value();
  const Json problem = Create(body, 422);
  EXPECT_EQ(problem["code"], "over_share_limit");
  EXPECT_EQ(problem["errors"][0]["pointer"], "/gpu/memory_bytes");
  EXPECT_EQ(problem["alternatives"][0]["memory_bytes"], GiB(24).value());
  EXPECT_NE(problem["detail"].get<std::string>().find("24 GiB"), std::string::npos);
}

TEST_F(Desktops, AreRefusedBelowTheLeastShareAndForUnknownCards) {
  Json body = DesktopBody();
  body["gpu"]["memory_bytes"] = 1;
  EXPECT_EQ(Create(body, 422)["code"], "invalid_field");
  body = DesktopBody();
  body["gpu"]["model"] = "GTX 9999";
  EXPECT_EQ(Create(body, 422)["code"], "no_such_gpu");
  world.control.SetOffers({});
  EXPECT_EQ(Create(DesktopBody(), 422)["code"], "no_such_gpu");
}

TEST_F(Desktops, WantAKnownTemplateWhosePrograms_AreThere) {
  Json body = DesktopBody();
  body["template_id"] = "nothing";
  EXPECT_EQ(Create(body, 422)["code"], "unknown_template");
  world.Put(store::Put(Template{.id = TemplateId("rare"),
                                .name = "Rare",
                                .needs = {{"no-such-program", "apt-get install rare"}}},
                       0));
  body["template_id"] = "rare";
  const Json problem = Create(body, 422);
  EXPECT_EQ(problem["code"], "template_unavailable");
  EXPECT_NE(problem["detail"].get<std::string>().find("apt-get install rare"), std::string::npos);
}

TEST_F(Desktops, NameEveryWrongField) {
  Json body = DesktopBody("\u202eevil");
  body["gpu"]["memory_bytes"] = "8";
  body["idle"].erase("gpu_keeps_alive");
  body["surprise"] = 1;
  body["kind"] = "vm";
  const Json problem = Create(body, 422);
  EXPECT_EQ(problem["code"], "invalid_field");
  std::set<std::string> pointers;
  for (const Json& error : problem["errors"]) pointers.insert(error["pointer"]);
  EXPECT_EQ(pointers,
            (std::set<std::string>{
                "/name", "/gpu/memory_bytes", "/idle/gpu_keeps_alive", "/surprise", "/kind"}));
}

TEST_F(Desktops, TakeFourByteCharactersInNames) {
  EXPECT_EQ(Create(DesktopBody("桌面 😀"), 202)["name"], "桌面 😀");
}

TEST_F(Desktops, RefuseABrokenAndADeepBody) {
  for (const std::string& body :
       {std::string("{"), std::string("{\"a\":") + std::string(10'000, '[')}) {
    const auto problem = world.SendForJson(
        Ask("POST", "/v1/desktops").As(lina).Body(body).Key("k" + std::to_string(body.size())),
        400);
    EXPECT_EQ(problem["code"], "malformed_json");
  }
}

TEST_F(Desktops, StayWithinTheQuota) {
  auto user = world.Read<User>("usr_lina");
  user.value.quota = {.desktops_max = 2, .gpu_memory_max = GiB(10)};
  world.Put(store::Put(user.value, user.version));
  Create(DesktopBody(), 202);
  EXPECT_EQ(Create(DesktopBody(), 403)["code"], "quota_exceeded");
  Json small = DesktopBody();
  small["gpu"]["memory_bytes"] = GiB(2).value();
  Create(small, 202);
  EXPECT_EQ(Create(small, 403)["code"], "quota_exceeded");
}

TEST_F(Desktops, CountAgainstTheQuotaWhenStartedAgain) {
  auto user = world.Read<User>("usr_lina");
  user.value.quota = {.desktops_max = 0, .gpu_memory_max = GiB(10)};
  world.Put(store::Put(user.value, user.version));
  Desktop stopped = Add(DesktopState::kStopped);
  auto stored = world.Read<Desktop>(stopped.id.text());
  stored.value.desired = DesiredState::kStopped;
  world.Put(store::Put(stored.value, stored.version));
  Create(DesktopBody(), 202);
  const Ask start = Ask("PATCH", Path(stopped))
                        .As(lina)
                        .Match(VersionOf(stopped))
                        .Json({{"desired_state", "running"}});
  EXPECT_EQ(world.SendForJson(start, 403)["code"], "quota_exceeded");
}

TEST_F(Desktops, AreHiddenFromOtherUsers) {
  const Desktop desktop = Add(DesktopState::kReady);
  for (const char* tail : {"", "/processes", "/log"}) {
    EXPECT_EQ(world.Send(Ask("GET", Path(desktop) + tail).As(eve)).status, 404) << tail;
    EXPECT_EQ(world.Send(Ask("GET", Path(desktop) + tail).As(omar)).status, 200) << tail;
  }
  world.SendForJson(
      Ask("PATCH", Path(desktop)).As(eve).Match(VersionOf(desktop)).Json(Json::object()), 404);
  world.SendForJson(Ask("POST", Path(desktop) + "/tickets").As(eve).Json({{"mode", "view"}}), 404);
  EXPECT_TRUE(world.SendForJson(Ask("GET", "/v1/desktops").As(eve), 200)["items"].empty());
  world.SendForJson(Ask("GET", "/v1/desktops?owner=all").As(eve), 403);
  EXPECT_EQ(world.SendForJson(Ask("GET", "/v1/desktops?owner=all").As(omar), 200)["items"].size(),
            1U);
}

TEST_F(Desktops, AreChangedByOperatorsOnlyThroughMessageAndStop) {
  const Desktop desktop = Add(DesktopState::kReady);
  world.SendForJson(
      Ask("PATCH", Path(desktop)).As(omar).Match(VersionOf(desktop)).Json({{"name", "x"}}), 403);
  world.SendForJson(Ask("DELETE", Path(desktop)).As(omar).Match(VersionOf(desktop)), 403);
  world.SendForJson(Ask("POST", Path(desktop) + "/messages").As(eve).Json({{"text", "hi"}}), 403);
  const auto told = world.SendForJson(
      Ask("POST", Path(desktop) + "/messages").As(omar).Json({{"text", "Maintenance at six."}}),
      200);
  EXPECT_EQ(told["message"], "Maintenance at six.");
  EXPECT_EQ(told["message_from"], "operator");
  const auto stopped = world.SendForJson(
      Ask("POST", Path(desktop) + "/stop").As(omar).Json({{"reason", "The card is needed."}}), 202);
  EXPECT_EQ(stopped["desired_state"], "stopped");
  EXPECT_NE(stopped["message"].get<std::string>().find("The card is needed."), std::string::npos);
  EXPECT_EQ(world.AuditRows().back().on_behalf_of, "lina");
}

TEST_F(Desktops, WantTheVersionThatWasRead) {
  const Desktop desktop = Add(DesktopState::kReady);
  const Ask rename = Ask("PATCH", Path(desktop)).As(lina).Json({{"name", "new"}});
  EXPECT_EQ(world.SendForJson(rename, 428)["code"], "precondition_required");
  EXPECT_EQ(world.SendForJson(Ask(rename).Match(1), 412)["code"], "stale_version");
  const uint64_t version = VersionOf(desktop);
  EXPECT_EQ(world.SendForJson(Ask(rename).Match(version), 200)["name"], "new");
  world.SendForJson(Ask(rename).Match(version), 412);
  world.SendForJson(Ask("DELETE", Path(desktop)).As(lina), 428);
}

TEST_F(Desktops, StopStartRestartAndDelete) {
  const Desktop desktop = Add(DesktopState::kReady);
  const auto patch = [&](const Json& body) {
    return world.SendForJson(
        Ask("PATCH", Path(desktop)).As(lina).Match(VersionOf(desktop)).Json(body), 200);
  };
  EXPECT_EQ(patch({{"desired_state", "stopped"}})["desired_state"], "stopped");
  EXPECT_EQ(patch({{"desired_state", "running"}})["desired_state"], "running");
  world.SendForJson(Ask("POST", Path(desktop) + "/restart").As(lina), 202);
  EXPECT_EQ(world.Read<Desktop>(desktop.id.text()).value.restart_generation, 1);
  const auto deleted = world.SendForJson(
      Ask("DELETE", Path(desktop) + "?keep_home=false").As(lina).Match(VersionOf(desktop)), 202);
  EXPECT_EQ(deleted["desired_state"], "deleted");
  EXPECT_FALSE(deleted["home_kept"]);
  EXPECT_EQ(world.SendForJson(Ask("POST", Path(desktop) + "/restart").As(lina), 409)["code"],
            "state_conflict");
}

TEST_F(Desktops, TellWhenTheyWillStopAndWhy) {
  const Desktop desktop = Add(DesktopState::kReady);
  const auto patch = [&](const Json& body) {
    return world.SendForJson(
        Ask("PATCH", Path(desktop)).As(lina).Match(VersionOf(desktop)).Json(body), 200);
  };
  EXPECT_TRUE(patch({{"name", "n"}})["stops_at"].is_null());
  Json shown = patch({{"run_for_s", 3600}});
  EXPECT_EQ(shown["stops_at"], ToRfc3339(desktop.ready_at + std::chrono::hours(1)));
  EXPECT_EQ(shown["stops_because"], "run_for");
  shown = patch({{"idle", {{"stop_after_s", 600}, {"gpu_keeps_alive", false}}}});
  EXPECT_EQ(shown["stops_because"], "idle");
  shown = world.SendForJson(
      Ask("POST", Path(desktop) + "/extensions").As(lina).Json({{"minutes", 30}}), 200);
  EXPECT_EQ(shown["run_for_s"], 5400);
}

TEST_F(Desktops, WithoutAnEndCannotBeExtended) {
  const Desktop desktop = Add(DesktopState::kReady);
  const Ask ask = Ask("POST", Path(desktop) + "/extensions").As(lina);
  world.SendForJson(Ask(ask).Json({{"minutes", 30}}), 409);
  world.SendForJson(Ask(ask).Json({{"minutes", 0}}), 422);
}

TEST_F(Desktops, AreResizedThroughControl) {
  const Desktop desktop = Add(DesktopState::kReady);
  const Ask ask = Ask("POST", Path(desktop) + "/resize").As(lina);
  const Json shown = world.SendForJson(
      Ask(ask).Json({{"memory_bytes", GiB(4).value()}, {"guarantee_percent", 20}}), 200);
  EXPECT_EQ(shown["gpu"]["memory_bytes"], GiB(4).value());
  EXPECT_EQ(shown["gpu"]["guarantee_percent"], 20);
  EXPECT_EQ(world.control.resized.first, desktop.claim);
  EXPECT_EQ(world.control.resized.second.memory, GiB(4));
  EXPECT_EQ(world.control.resized.second.guarantee, ComputeMillis(200));
  world.SendForJson(Ask(ask).Json({{"memory_bytes", 0}}), 422);
  world.SendForJson(
      Ask("POST", Path(desktop) + "/resize").As(eve).Json({{"memory_bytes", GiB(4).value()}}), 404);
}

TEST_F(Desktops, StayAsTheyAreWhenControlRefusesTheSize) {
  const Desktop desktop = Add(DesktopState::kReady);
  world.control.resize_error = Error{Code::kFailedPrecondition, "its programs use 5 GiB now"};
  const Json problem = world.SendForJson(
      Ask("POST", Path(desktop) + "/resize").As(lina).Json({{"memory_bytes", GiB(4).value()}}),
      409);
  EXPECT_EQ(problem["detail"], "The share stays as it is: its programs use 5 GiB now.");
  EXPECT_EQ(problem["code"], "share_in_use");
  const Json shown = world.SendForJson(Ask("GET", Path(desktop)).As(lina), 200);
  EXPECT_EQ(shown["gpu"]["memory_bytes"], desktop.request.memory.value());
}

TEST_F(Desktops, ReportThatSomebodyIsThere) {
  const Desktop desktop = Add(DesktopState::kIdleWarned);
  world.SendForJson(Ask("POST", Path(desktop) + "/keep-alive").As(lina), 200);
  const auto report = world.control.LastReport(desktop.id);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->last_input_at, world.clock.Now());
}

TEST_F(Desktops, ShowTheirPlaceInTheQueue) {
  const Desktop desktop = Add(DesktopState::kQueued);
  world.control.SetPlace(desktop.claim,
                         control::QueuePlace{.position = 2,
                                             .waiting = 3,
                                             .reason = "needs 8 GiB on one card",
                                             .next_likely = world.clock.Now()});
  const Json shown = world.SendForJson(Ask("GET", Path(desktop)).As(lina), 200);
  EXPECT_EQ(shown["queue"]["position"], 2);
  EXPECT_EQ(shown["queue"]["reason"], "needs 8 GiB on one card");
  const Json queue = world.SendForJson(Ask("GET", "/v1/queue").As(eve), 200)["items"];
  ASSERT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue[0]["owner"], "");
  EXPECT_TRUE(queue[0]["desktop_id"].is_null());
  EXPECT_EQ(world.SendForJson(Ask("GET", "/v1/queue").As(lina), 200)["items"][0]["owner"], "lina");
  world.SendForJson(Ask("DELETE", "/v1/queue/" + desktop.claim.text()).As(eve), 404);
  EXPECT_EQ(world.Send(Ask("DELETE", "/v1/queue/" + desktop.claim.text()).As(lina)).status, 204);
  EXPECT_EQ(world.Read<Desktop>(desktop.id.text()).value.desired, DesiredState::kStopped);
}

TEST_F(Desktops, ShowUseAndProcessesOfTheirShare) {
  const Desktop desktop = Add(DesktopState::kReady);
  agent::ShareUsage usage;
  usage.devices.push_back({.gpu = GpuId("GPU-1"),
                           .limit = GiB(8),
                           .used = GiB(3),
                           .peak = GiB(4),
                           .utilization_percent = 50});
  usage.processes.push_back({.host_pid = 99,
                             .inner_pid = 7,
                             .command = "tr\xFF"
                                        "ain",
                             .memory = GiB(3)});
  world.agent.SetUsage(desktop.claim, usage);
  const Json shown = world.SendForJson(Ask("GET", Path(desktop)).As(lina), 200);
  EXPECT_EQ(shown["usage"]["used_bytes"], GiB(3).value());
  EXPECT_EQ(shown["usage"]["processes"], 1);
  EXPECT_EQ(shown["allocation"][0]["simulated"], true);
  const Json list = world.SendForJson(Ask("GET", Path(desktop) + "/processes").As(lina), 200);
  EXPECT_EQ(list["items"][0]["inner_pid"], 7);
  EXPECT_EQ(list["items"][0]["command"], "tr\uFFFDain");
}

TEST_F(Desktops, AreListedByPages) {
  for (int i = 0; i < 7; ++i) {
    Add(DesktopState::kStopped);
    world.AddDesktop(UserId("usr_eve"), "hers", DesktopState::kStopped);
  }
  std::set<std::string> seen;
  std::string cursor;
  int pages = 0;
  do {
    const std::string path = "/v1/desktops?limit=3" + (cursor.empty() ? "" : "&cursor=" + cursor);
    const Json page = world.SendForJson(Ask("GET", path).As(lina), 200);
    for (const Json& item : page["items"]) {
      EXPECT_EQ(item["owner"]["id"], "usr_lina");
      EXPECT_TRUE(seen.insert(item["id"]).second);
    }
    cursor = page["next_cursor"].is_null() ? "" : page["next_cursor"].get<std::string>();
    ++pages;
  } while (!cursor.empty() && pages < 10);
  EXPECT_EQ(seen.size(), 7U);
  EXPECT_EQ(pages, 3);
  world.SendForJson(Ask("GET", "/v1/desktops?cursor=%").As(lina), 422);
}

TEST_F(Desktops, AreListedByTheThousand) {
  for (int i = 0; i < 1'000; ++i) Add(DesktopState::kStopped);
  size_t seen = 0;
  std::string cursor;
  do {
    const std::string path = "/v1/desktops?limit=200" + (cursor.empty() ? "" : "&cursor=" + cursor);
    const Json page = world.SendForJson(Ask("GET", path).As(lina), 200);
    seen += page["items"].size();
    cursor = page["next_cursor"].is_null() ? "" : page["next_cursor"].get<std::string>();
  } while (!cursor.empty());
  EXPECT_EQ(seen, 1'000U);
}

TEST_F(Desktops, GiveTicketsToTheirUserAndAudited_ViewsToOperators) {
  const Desktop desktop = Add(DesktopState::kReady);
  const Ask ask = Ask("POST", Path(desktop) + "/tickets");
  const Json ticket = world.SendForJson(Ask(ask).As(lina).Json({{"mode", "control"}}), 201);
  EXPECT_EQ(ticket["url"], "/v1/stream");
  const auto grant =
      world.app.tickets.Redeem(ticket["ticket"].get<std::string>(), world.clock.Steady());
  ASSERT_TRUE(grant);
  EXPECT_TRUE(grant->control);
  EXPECT_FALSE(grant->foreign);
  EXPECT_EQ(grant->desktop, desktop.id);
  world.SendForJson(Ask(ask).As(omar).Json({{"mode", "control"}, {"reason", "x"}}), 403);
  world.SendForJson(Ask(ask).As(omar).Json({{"mode", "view"}}), 422);
  const Json view = world.SendForJson(
      Ask(ask).As(omar).Json({{"mode", "view"}, {"reason", "Asked to help."}}), 201);
  EXPECT_TRUE(
      world.app.tickets.Redeem(view["ticket"].get<std::string>(), world.clock.Steady())->foreign);
  const AuditRow row = world.AuditRows().back();
  EXPECT_EQ(row.action, "desktop.view");
  EXPECT_EQ(row.detail, "Asked to help.");
  EXPECT_EQ(row.on_behalf_of, "lina");
}

TEST_F(Desktops, GiveNoTicketsWhileTheyAreStopped) {
  const Desktop desktop = Add(DesktopState::kStopped);
  const auto problem = world.SendForJson(
      Ask("POST", Path(desktop) + "/tickets").As(lina).Json({{"mode", "control"}}), 409);
  EXPECT_EQ(problem["code"], "state_conflict");
}

TEST_F(Desktops, HaveALaunchLog) {
  const Desktop desktop = Add(DesktopState::kFailed);
  const auto log = world.Send(Ask("GET", Path(desktop) + "/log").As(lina));
  EXPECT_EQ(log.status, 200);
  EXPECT_NE(log.body.find("failed: As the test wants it."), std::string::npos) << log.body;
}

TEST_F(Desktops, OfATemplateThatIsMissingProgramsAreGreyed) {
  world.Put(store::Put(Template{.id = TemplateId("rare"),
                                .name = "Rare",
                                .needs = {{"no-such-program", "apt-get install rare"}}},
                       0));
  const Json list = world.SendForJson(Ask("GET", "/v1/templates").As(lina), 200);
  bool found = false;
  for (const Json& one : list["items"]) {
    if (one["id"] != "rare") continue;
    found = true;
    EXPECT_FALSE(one["available"]);
    EXPECT_EQ(one["missing"][0]["install"], "apt-get install rare");
  }
  EXPECT_TRUE(found);
}

TEST_F(Desktops, HaveOffersForEachModel) {
  const Json offers =
      world.SendForJson(Ask("GET", "/v1/offers?memory_bytes=8589934592").As(lina), 200);
  EXPECT_EQ(offers["items"][0]["answer"], "starts now");
  EXPECT_EQ(offers["items"][0]["simulated"], true);
  EXPECT_EQ(offers["share_min_bytes"], MiB(512).value());
  world.SendForJson(Ask("GET", "/v1/offers").As(lina), 400);
  world.SendForJson(Ask("GET", "/v1/offers?memory_bytes=0").As(lina), 400);
}

class Gpus : public Desktops {
 protected:
  Desktop Share() {
    const Desktop desktop = Add(DesktopState::kReady);
    auto gpu = world.Read<Gpu>("GPU-1");
    gpu.value.shares.push_back({.claim = desktop.claim, .memory = GiB(8)});
    world.Put(store::Put(gpu.value, gpu.version));
    return desktop;
  }
  Person ada = world.Somebody("ada", Role::kAdmin);
};

TEST_F(Gpus, ShowNamesToThoseWhoMaySeeThem) {
  const Desktop desktop = Share();
  const auto share = [&](const Person& person) {
    return world.SendForJson(Ask("GET", "/v1/gpus").As(person), 200)["items"][0]["shares"][0];
  };
  EXPECT_EQ(share(lina)["desktop_id"], desktop.id.text());
  EXPECT_EQ(share(omar)["owner"], "lina");
  EXPECT_EQ(share(eve)["owner"], "");
  EXPECT_EQ(share(eve)["name"], "");
  EXPECT_TRUE(share(eve)["desktop_id"].is_null());
  EXPECT_EQ(share(eve)["memory_bytes"], GiB(8).value());
  const Json gpu = world.SendForJson(Ask("GET", "/v1/gpus/GPU-1").As(eve), 200);
  EXPECT_EQ(gpu["held_bytes"], GiB(8).value());
  EXPECT_EQ(gpu["free_bytes"], GiB(16).value());
  EXPECT_EQ(gpu["used_bytes"], GiB(1).value());
  EXPECT_EQ(gpu["simulated"], true);
}

TEST_F(Gpus, AreCordonedByAdmins) {
  const uint64_t version = world.Read<Gpu>("GPU-1").version;
  const Ask ask = Ask("PATCH", "/v1/gpus/GPU-1").Json({{"mode", "cordoned"}}).Match(version);
  world.SendForJson(Ask(ask).As(omar), 403);
  EXPECT_EQ(world.SendForJson(Ask(ask).As(ada), 200)["mode"], "cordoned");
  world.SendForJson(Ask(ask).As(ada), 412);
  world.SendForJson(Ask("GET", "/v1/gpus/none").As(ada), 404);
}

TEST_F(Gpus, AreListedByMachineAndIndexAlsoOverPages) {
  const auto put = [this](const char* id, const char* node, int index) {
    world.Put(store::Put(Gpu{.id = GpuId(id), .node = NodeId(node), .index = index}, 0));
  };
  put("GPU-e", "atlas", 2);
  put("GPU-d", "atlas", 10);
  put("GPU-a", "zeus", 0);
  std::string ids;
  std::string cursor;
  do {
    const Json page = world.SendForJson(Ask("GET", "/v1/gpus?limit=1" + cursor).As(eve), 200);
    for (const Json& gpu : page["items"]) ids += gpu["id"].get<std::string>() + " ";
    const Json& next = page["next_cursor"];
    cursor = next.is_string() ? "&cursor=" + next.get<std::string>() : "";
  } while (!cursor.empty());
  EXPECT_EQ(ids, "GPU-e GPU-d GPU-1 GPU-a ");
}

TEST_F(Gpus, AreInTheMetricsWithDcgmsNames) {
  Share();
  EXPECT_EQ(world.Send(Ask("GET", "/metrics").From("127.0.0.1")).status, 401);
  const auto metrics =
      world.Send(Ask("GET", "/metrics").From("127.0.0.1").Header("Host", "localhost:8480"));
  EXPECT_EQ(metrics.status, 200);
  EXPECT_NE(metrics.body.find("DCGM_FI_DEV_FB_USED{gpu=\"0\",UUID=\"GPU-1\",modelName=\"Sluice "
                              "simulated GPU\""),
            std::string::npos)
      << metrics.body;
  EXPECT_NE(metrics.body.find("simulated=\"true\"} 1024\n"), std::string::npos);
  EXPECT_NE(metrics.body.find("sluice_desktops{state=\"ready\"} 1\n"), std::string::npos);
  EXPECT_EQ(metrics.body.find("lina"), std::string::npos);
  EXPECT_EQ(world.Send(Ask("GET", "/metrics")).status, 401);
  EXPECT_EQ(world.Send(Ask("GET", "/metrics").As(eve)).status, 403);
  EXPECT_EQ(world.Send(Ask("GET", "/metrics").As(omar)).status, 200);
}

class Runs : public Desktops {
 protected:
  Json Body() {
    return {{"memory_bytes", GiB(6).value()},
            {"command", "python train.py"},
            {"pid", static_cast<int64_t>(::getpid())},
            {"no_wait", false}};
  }
  Ask Local(const std::string& method, const std::string& path) {
    return Ask(method, path).OverLocalSocket(0);
  }
  Json Create() { return world.SendForJson(Local("POST", "/v1/runs").Json(Body()).Key("k"), 202); }
};

TEST_F(Runs, AreMadeOverTheLocalSocketOnly) {
  world.SendForJson(Ask("POST", "/v1/runs").As(lina).Json(Body()).Key("k"), 403);
  const Json run = Create();
  EXPECT_EQ(run["phase"], "pending");
  const auto claim = world.Read<Claim>(run["id"].get<std::string>());
  EXPECT_EQ(claim.value.owner_kind, ClaimOwner::kRun);
  EXPECT_EQ(claim.value.run_pid, ::getpid());
  EXPECT_GT(claim.value.run_pid_start, 0);
  EXPECT_EQ(claim.value.run_command, "python train.py");
}

TEST_F(Runs, StartWhenReservedAndEndWhenGivenBack) {
  const std::string id = Create()["id"];
  world.SendForJson(Local("POST", "/v1/runs/" + id + "/start"), 409);
  auto claim = world.Read<Claim>(id);
  claim.value.phase = ClaimPhase::kReserved;
  claim.value.allocations = {{.gpu = GpuId("GPU-1"), .memory = GiB(6)}};
  world.Put(store::Put(claim.value, claim.version));
  const Json started = world.SendForJson(Local("POST", "/v1/runs/" + id + "/start"), 200);
  EXPECT_EQ(started["phase"], "committed");
  EXPECT_EQ(started["prepared"]["mounts"][0]["target"], "/run/sluice/policy");
  EXPECT_EQ(world.Send(Local("DELETE", "/v1/runs/" + id)).status, 204);
  const Json over = world.SendForJson(Local("GET", "/v1/runs/" + id), 200);
  EXPECT_EQ(over["phase"], "released");
  EXPECT_TRUE(over["allocation"].is_null());
}

TEST_F(Runs, DoNotWaitWhenToldSo) {
  control::Offer full = world.control.Offers({GiB(6), {}}).front();
  full.fits_now = 0;
  full.answer = "needs 6 GiB on one card; largest free: 3 GiB";
  world.control.SetOffers({full});
  Json body = Body();
  body["no_wait"] = true;
  const Json problem = world.SendForJson(Local("POST", "/v1/runs").Json(body).Key("k"), 409);
  EXPECT_EQ(problem["code"], "state_conflict");
  EXPECT_NE(problem["detail"].get<std::string>().find("largest free: 3 GiB"), std::string::npos);
}

TEST_F(Runs, WantAProcessThatLives) {
  Json body = Body();
  body["pid"] = 4'194'304;
  EXPECT_EQ(
      world.SendForJson(Local("POST", "/v1/runs").Json(body).Key("k"), 422)["errors"][0]["pointer"],
      "/pid");
}

TEST_F(Runs, ShowCommandsWithoutControlCharacters) {
  Json body = Body();
  body["command"] = "python\n\u001b[31m \u202e" + std::string(300, 'x');
  const Json run = world.SendForJson(Local("POST", "/v1/runs").Json(body).Key("k"), 202);
  const std::string command = world.Read<Claim>(run["id"].get<std::string>()).value.run_command;
  EXPECT_EQ(command.find_first_of("\n\x1b"), std::string::npos);
  EXPECT_EQ(command.find("\u202e"), std::string::npos);
  EXPECT_LT(command.size(), 130U);
}

TEST(AuditEvents, AreFilteredPagedAndExported) {
  World world;
  const Person ada = world.Somebody("ada", Role::kAdmin);
  for (int i = 0; i < 30; ++i) {
    world.audit->Append({i % 2 == 0 ? "lina" : "omar", "unix", ""},
                        {i % 3 == 0 ? "desktop.create" : "desktop.delete", "dsk_1", "ok", "=1+1"});
  }
  const Json first = world.SendForJson(
      Ask("GET", "/v1/audit-events?actor=lina&action=desktop&limit=10").As(ada), 200);
  ASSERT_EQ(first["items"].size(), 10U);
  EXPECT_GT(first["items"][0]["seq"], first["items"][1]["seq"]);
  const std::string cursor = first["next_cursor"];
  const Json second = world.SendForJson(
      Ask("GET", "/v1/audit-events?actor=lina&action=desktop&limit=10&cursor=" + cursor).As(ada),
      200);
  EXPECT_EQ(second["items"].size(), 5U);
  EXPECT_TRUE(second["next_cursor"].is_null());
  EXPECT_TRUE(
      world.SendForJson(Ask("GET", "/v1/audit-events?q=LINA").As(ada), 200)["items"].size() > 10);
  EXPECT_TRUE(world
                  .SendForJson(Ask("GET", "/v1/audit-events?since=2200-01-01T00:00:00Z").As(ada),
                               200)["items"]
                  .empty());
  world.SendForJson(Ask("GET", "/v1/audit-events?since=yesterday").As(ada), 400);
  const auto csv = world.Send(Ask("GET", "/v1/audit-events/export?format=csv").As(ada));
  EXPECT_EQ(csv.headers.Get("Content-Disposition"), "attachment; filename=\"sluice-audit.csv\"");
  EXPECT_NE(csv.body.find("\"'=1+1\""), std::string::npos);
  const auto lines =
      world.Send(Ask("GET", "/v1/audit-events/export?format=jsonl&actor=omar").As(ada));
  EXPECT_EQ(std::count(lines.body.begin(), lines.body.end(), '\n'), 15);
  world.SendForJson(Ask("GET", "/v1/audit-events/export?format=xml").As(ada), 400);
  EXPECT_TRUE(world.SendForJson(Ask("GET", "/v1/audit-events/integrity").As(ada), 200)["ok"]);
}

}  // namespace
}  // namespace sluice::portal
