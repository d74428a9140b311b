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
  EXPECT_EQ(CardsInReach(scene), (std::vector<int>{2, 0}));
  std::filesystem::remove(path);
  EXPECT_EQ(CardsInReach(scene), (std::vector<int>{0, 1, 2}));
  ::unsetenv("SLUICE_SIMGPU_VISIBLE");
}

TEST(Visibility, ReadsCudaVisibleDevicesAsTheDriverDoes) {
  Scene scene = *ParseFleet("3x1GiB");
  const std::vector<int> reach{2, 0, 1};
  using List = std::vector<int>;
  EXPECT_EQ(CudaVisible(scene, reach, nullptr), reach);
  EXPECT_EQ(CudaVisible(scene, reach, ""), List{});
  EXPECT_EQ(CudaVisible(scene, reach, "0"), List{2});
  EXPECT_EQ(CudaVisible(scene, reach, " 2 , 0"), (List{1, 2}));
  EXPECT_EQ(CudaVisible(scene, reach, "1,-1,2"), List{0});
  EXPECT_EQ(CudaVisible(scene, reach, "0,0"), List{});
  EXPECT_EQ(CudaVisible(scene, reach, "7"), List{});
  std::string uuid = scene.cards[1].uuid;
  EXPECT_EQ(CudaVisible(scene, reach, uuid.c_str()), List{1});
  EXPECT_EQ(CudaVisible(scene, reach, uuid.substr(0, 10).c_str()), List{1});
  EXPECT_EQ(CudaVisible(scene, reach, "GPU-"), List{});  // Means all three, so none.
}

}  // namespace
}  // namespace sluice::simgpu
