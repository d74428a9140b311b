// SPDX-License-Identifier: Apache-2.0
#include "simgpu/scene.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "simgpu/internal/machine.h"

namespace sluice::simgpu {
namespace {

std::string Card(const std::string& more) {
  return R"({"uuid":"GPU-00000000-0000-8000-8000-000000000001","memory_mib":1024)" + more + "}";
}
std::string File(const std::string& cards) {
  return R"({"version":1,"cards":[)" + cards + "]}";
}

TEST(Fleet, ReadsCountsSizesAndMixtures) {
  auto fleet = ParseFleet("1x80GiB,2x24GiB,512MiB");
  ASSERT_TRUE(fleet);
  ASSERT_EQ(fleet->cards.size(), 4u);
  EXPECT_EQ(fleet->cards[0].memory, GiB(80));
  EXPECT_EQ(fleet->cards[1].memory, GiB(24));
  EXPECT_EQ(fleet->cards[3].memory, MiB(512));
  EXPECT_EQ(fleet->cards[0].name, "Sluice simulated GPU 80 GiB");
  EXPECT_NE(fleet->cards[1].uuid, fleet->cards[2].uuid);
}

TEST(Fleet, GivesTheSameCardsForTheSameText) {
  EXPECT_EQ(ParseFleet("2x24GiB")->cards, ParseFleet("2x24GiB")->cards);
  EXPECT_EQ(ParseFleet("2x24GiB")->cards[1].uuid, ParseFleet("24GiB,24GiB")->cards[1].uuid);
  EXPECT_NE(ParseFleet("1x24GiB")->cards[0].uuid, ParseFleet("1x12GiB")->cards[0].uuid);
}

TEST(Fleet, RefusesWhatIsNoFleetAndShowsARightOne) {
  for (const char* text : {"",
                           "x",
                           "0x24GiB",
                           "17x24GiB",
                           "16x1GiB,1GiB",
                           "2x24GB",
                           "2x",
                           "24GiB,",
                           "1x1MiB",
                           "1x4096GiB",
                           "-1x24GiB",
                           "99999999999999999999x1GiB",
                           "1x100000001"}) {
    auto fleet = ParseFleet(text);
    ASSERT_FALSE(fleet) << text;
    EXPECT_EQ(fleet.error().code, Code::kInvalidArgument) << text;
    EXPECT_NE(fleet.error().message.find("2x24GiB"), std::string::npos) << text;
  }
}

TEST(Scene, ReadsBackWhatItWrites) {
  auto scene = ParseFleet("2x24GiB");
  ASSERT_TRUE(scene);
  scene->kernel_us = 1234;
  scene->cuda_version = 12040;
  scene->kernel_us_of = {{"attention", 250}, {"gemm", 0}};
  scene->virtual_clock = true;
  scene->pool_chunk = MiB(32);
  scene->cards[1].faults = {"lost"};
  auto back = ParseScene(ToJson(*scene));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, *scene);
}

TEST(Scene, AlwaysSaysThatACardIsSimulated) {
  EXPECT_EQ(ParseScene(File(Card(R"(,"name":"Big One")")))->cards[0].name, "Big One (simulated)");
  EXPECT_EQ(ParseScene(File(Card(R"(,"name":"My SIMULATED card")")))->cards[0].name,
            "My SIMULATED card");
}

struct BadScene {
  std::string text;
  std::string field;
};

TEST(Scene, NamesTheFieldThatIsWrong) {
  const BadScene rows[] = {
      {"", "/"},
      {"[]", "/"},
      {"{", "/"},
      {"{}", "/version"},
      {R"({"version":2,"cards":[]})", "/version"},
      {R"({"version":1})", "/cards"},
      {R"({"version":1,"cards":[]})", "/cards"},
      {R"({"version":1,"colour":1,"cards":[]})", "/colour"},
      {File("1"), "/cards/0"},
      {File("{}"), "/cards/0/uuid"},
      {File(R"({"uuid":"GPU-X","memory_mib":1})"), "/cards/0/uuid"},
      {File(Card(R"(,"name":"")")), "/cards/0/name"},
      {File(Card(R"(,"name":"a\u0001")")), "/cards/0/name"},
      {File(Card(R"(,"reserved_mib":2048)")), "/cards/0/reserved_mib"},
      {File(Card(R"(,"faults":["of no kind"])")), "/cards/0/faults"},
      {File(Card(R"(,"memory":1)")), "/cards/0/memory"},
      {File(Card("") + "," + Card("")), "/cards/1/uuid"},
      {R"({"version":1,"clock":"fast","cards":[]})", "/clock"},
      {R"({"version":1,"kernels":[],"cards":[]})", "/kernels"},
      {R"({"version":1,"kernels":{"":1},"cards":[]})", "/kernels"},
      {R"({"version":1,"kernels":{"gemm":-1},"cards":[]})", "/kernels/gemm"},
      {R"({"version":1,"kernel_us":-1,"cards":[]})", "/kernel_us"},
      {R"({"version":1,"kernel_us":1.5,"cards":[]})", "/kernel_us"},
      {R"({"version":1,"kernel_us":99999999999999999999,"cards":[]})", "/kernel_us"},
      {std::string(100'000, '['), "/"},
  };
  for (const BadScene& row : rows) {
    auto scene = ParseScene(row.text);
    ASSERT_FALSE(scene) << row.text.substr(0, 100);
    EXPECT_EQ(scene.error().code, Code::kInvalidArgument);
    EXPECT_EQ(scene.error().field, row.field) << row.text.substr(0, 100);
  }
}

class SceneFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string form = ::testing::TempDir() + "scene-XXXXXX";
    ASSERT_NE(::mkdtemp(form.data()), nullptr);
    folder_ = form + "/state";
    top_ = form;
  }
  void TearDown() override { std::filesystem::remove_all(top_); }

  ino_t MapFile() const {
    struct stat found {};
    EXPECT_EQ(::stat((folder_ + "/device.map").c_str(), &found), 0);
    return found.st_ino;
  }

  std::string top_;
  std::string folder_;
};

TEST_F(SceneFolder, KeepsTheMapOfAnEqualFleetAndReplacesAnothers) {
  ASSERT_TRUE(WriteScene(folder_, *ParseFleet("2x24GiB")));
  ino_t first = MapFile();
  Scene slower = *ParseFleet("2x24GiB");
  slower.kernel_us = 5000;
  ASSERT_TRUE(WriteScene(folder_, slower));
  EXPECT_EQ(MapFile(), first);
  EXPECT_EQ(ReadScene(folder_)->kernel_us, 5000);
  ASSERT_TRUE(WriteScene(folder_, *ParseFleet("1x80GiB")));
  EXPECT_NE(MapFile(), first);
}

TEST_F(SceneFolder, SaysThatThereIsNone) {
  EXPECT_EQ(ReadScene(folder_).error().code, Code::kNotFound);
  EXPECT_EQ(WriteScene("/proc/not/there", *ParseFleet("1GiB")).error().code, Code::kUnavailable);
}

TEST(Visibility, FollowsTheListOfUuids) {
  Scene scene = *ParseFleet("3x1GiB");
  std::string path = ::testing::TempDir() + "visible-list-" + std::to_string(::getpid());
  std::ofstream(path) << scene.cards[2].uuid << "\n\nGPU-of-elsewhere\n"
                      << scene.cards[0].uuid << "\n";
  ::setenv("SLUICE_SIMGPU_VISIBLE", path.c_str(), 1);
  EXPECT_EQ(InReach(scene).cards, (std::vector<int>{2, 0}));
  std::filesystem::remove(path);
  EXPECT_EQ(InReach(scene).cards, (std::vector<int>{0, 1, 2}));
  ::unsetenv("SLUICE_SIMGPU_VISIBLE");
}

// What CUDA_VISIBLE_DEVICES leaves, as names: "1" a card, "0/2" a part of one.
std::string Names(const Scene& scene, const Reach& reach, const char* value) {
  std::string names;
  for (const Unit& unit : CudaVisible(scene, reach, value)) {
    names += (names.empty() ? "" : " ") + std::to_string(unit.card);
    if (unit.part >= 0) names += "/" + std::to_string(unit.part);
  }
  return names;
}

TEST(Visibility, ReadsCudaVisibleDevicesAsTheDriverDoes) {
  Scene scene = *ParseFleet("3x1GiB");
  const Reach reach{.cards = {2, 0, 1}, .parts = {{}, {}, {}}};
  auto names = [&](const std::string& value) { return Names(scene, reach, value.c_str()); };
  EXPECT_EQ(Names(scene, reach, nullptr), "2 0 1");
  EXPECT_EQ(names(""), "");
  EXPECT_EQ(names("0"), "2");
  EXPECT_EQ(names(" 2 , 0"), "1 2");
  EXPECT_EQ(names("1,-1,2"), "0");
  EXPECT_EQ(names("0,0"), "");
  EXPECT_EQ(names("7"), "");
  std::string uuid = scene.cards[1].uuid;
  EXPECT_EQ(names(uuid), "1");
  EXPECT_EQ(names(uuid.substr(0, 10)), "1");
  EXPECT_EQ(names("GPU-"), "");        // Means all three, so none.
  EXPECT_EQ(names("0," + uuid), "2");  // One form or the other.
}

TEST(Visibility, GivesAProcessOnePartAtMost) {
  Scene scene = *ParseFleet("2x8GiB");
  scene.cards[0].parts = {{"MIG-00000000-0000-0000-0000-000000000001", 1, GiB(1)},
                          {"MIG-00000000-0000-0000-0000-000000000002", 2, GiB(2)}};
  const Reach all{.cards = {0, 1}, .parts = {{0, 1}, {}}};
  auto names = [&](const std::string& value) { return Names(scene, all, value.c_str()); };
  EXPECT_EQ(Names(scene, all, nullptr), "1");  // The whole card.
  EXPECT_EQ(Names(scene, Reach{.cards = {0}, .parts = {{1}}}, nullptr), "0/1");
  EXPECT_EQ(names("MIG-00000000-0000-0000-0000-000000000002"), "0/1");
  EXPECT_EQ(
      names("MIG-00000000-0000-0000-0000-000000000002,MIG-00000000-0000-0000-0000-000000000001"),
      "0/1");
  EXPECT_EQ(names("MIG-" + scene.cards[0].uuid + "/2/0"), "0/1");
  EXPECT_EQ(names("MIG-" + scene.cards[0].uuid + "/3/0"), "");
  EXPECT_EQ(names("0"), "0/0");  // A card in parts stands for its first.
  EXPECT_EQ(names("1,0"), "1");
  const Reach second{.cards = {0}, .parts = {{1}}};
  EXPECT_EQ(Names(scene, second, "MIG-00000000-0000-0000-0000-000000000001"), "");
}

TEST(Scene, KeepsThePartsOfACard) {
  Scene scene = *ParseFleet("1x8GiB");
  scene.cards[0].parts = {{"MIG-00000000-0000-0000-0000-000000000001", 3, GiB(4)}};
  auto again = ParseScene(ToJson(scene));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, scene);
  EXPECT_TRUE(again->cards[0].InMigMode());
}

TEST(Scene, RefusesPartsThatAreNotTheCards) {
  const ScenePart sound{"MIG-00000000-0000-0000-0000-000000000001", 3, GiB(4)};
  auto field = [](const std::vector<ScenePart>& parts) {
    Scene scene = *ParseFleet("1x8GiB");
    scene.cards[0].parts = parts;
    auto parsed = ParseScene(ToJson(scene));
    return parsed ? "" : parsed.error().field;
  };
  EXPECT_EQ(field({sound}), "");
  EXPECT_EQ(field({sound, sound}), "/cards/0/uuid");
  const ScenePart other{"MIG-00000000-0000-0000-0000-000000000002", 5, GiB(1)};
  EXPECT_EQ(field({sound, other}), "/cards/0/parts");  // Eight slices.
  EXPECT_EQ(field({sound, {other.uuid, 1, GiB(5)}}), "/cards/0/parts");
  EXPECT_EQ(field({{other.uuid, 0, GiB(1)}}), "/cards/0/parts/0/slices");
  EXPECT_EQ(field({{"GPU-" + other.uuid.substr(4), 1, GiB(1)}}), "/cards/0/parts/0/uuid");
}

TEST(Scene, TakesTheApiVersionFromTheDriversBranch) {
  auto version = [](const std::string& driver) {
    auto scene = ParseScene(R"({"version": 1, "driver_version": ")" + driver + R"(", "cards": [
        {"uuid": "GPU-00000000-0000-0000-0000-000000000001", "memory_mib": 1024}]})");
    return scene ? scene->cuda_version : -1;
  };
  EXPECT_EQ(version("470.256.02-simulated"), 11040);
  EXPECT_EQ(version("535.104"), 12020);
  EXPECT_EQ(version("536.1"), 12020);
  EXPECT_EQ(version("580.0-simulated"), 13000);
  EXPECT_EQ(version("610.43"), 13030);
  EXPECT_EQ(version("a new one"), 13000);
  EXPECT_EQ(version("390.1"), 13000);
}

}  // namespace
}  // namespace sluice::simgpu
