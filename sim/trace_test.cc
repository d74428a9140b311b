// SPDX-License-Identifier: Apache-2.0
#include "sim/trace.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <zlib.h>

#include "base/random.h"

namespace sluice::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TraceFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/trace.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& text) {
    const std::string path = folder_ + "/file.csv";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  std::string WriteGzip(const std::string& text) {
    const std::string path = folder_ + "/file.csv.gz";
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
    return path;
  }
  // The message of the failure to read `text` as pods.
  std::string WhyNoPods(const std::string& text) {
    const auto pods = ReadPods(Write(text));
    return pods ? "it was read" : pods.error().message.substr(folder_.size() + 1);
  }

  std::string folder_;
};

const std::string kPodNames =
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time\n";

TEST_F(TraceFiles, ReadsPodsOfAllKinds) {
  const auto pods = ReadPods(Write(kPodNames + "a,12000,16384,1,460,V100|G2|G2,5\r\n"
                                               "\n"
                                               "\"b,\n2\",0,0,0,0,,\n"
                                               "c,1,2,8,1000,T4,0"));
  ASSERT_TRUE(pods) << pods.error().message;
  ASSERT_EQ(pods->size(), 3U);
  EXPECT_EQ((*pods)[0].cpu_milli, 12000);
  EXPECT_EQ((*pods)[0].gpu_milli, 460);
  EXPECT_THAT((*pods)[0].models, ElementsAre("G2", "V100"));
  EXPECT_EQ((*pods)[0].created_s, 5);
  EXPECT_EQ((*pods)[1].name, "b,\n2");
  EXPECT_EQ((*pods)[1].created_s, std::nullopt);
  EXPECT_EQ((*pods)[2].gpus, 8);
}

TEST_F(TraceFiles, ReadsGzipAsPlain) {
  const auto nodes = ReadNodes(WriteGzip("sn,model,gpu,memory_mib,cpu_milli\nn,T4,2,3,4\n"));
  ASSERT_TRUE(nodes) << nodes.error().message;
  EXPECT_EQ(nodes->at(0).model, "T4");
  EXPECT_EQ(nodes->at(0).gpus, 2);
  EXPECT_EQ(nodes->at(0).cpu_milli, 4);
}

TEST_F(TraceFiles, NamesFileLineAndColumnOfEachFault) {
  EXPECT_EQ(WhyNoPods(""), "file.csv: line 1: column 1: empty");
  EXPECT_EQ(WhyNoPods("name\na\n"),
            "file.csv: line 2: column 1 (name): the first row names no column cpu_milli");
  EXPECT_EQ(WhyNoPods("name,name\n"), "file.csv: line 1: column 2: name comes twice");
  EXPECT_EQ(WhyNoPods(kPodNames + "a,1,2,1,1000,,0\n\nb,1,2,1\n"),
            "file.csv: line 4: column 5 (gpu_milli): 4 columns where the first row has 7");
  EXPECT_EQ(WhyNoPods(kPodNames + "a,-1,2,1,1000,,\n"),
            "file.csv: line 2: column 2 (cpu_milli): -1 is out of range 0 to 1000000000");
  EXPECT_THAT(WhyNoPods(kPodNames + "a,1,99999999999999999999,1,1000,,\n"),
              HasSubstr("column 3 (memory_mib): \"99999999999999999999\" is out of range"));
  EXPECT_THAT(WhyNoPods(kPodNames + "a,1,2,NaN,1000,,\n"),
              HasSubstr("column 4 (num_gpu): \"NaN\" is no whole number"));
  EXPECT_THAT(WhyNoPods(kPodNames + "a,1,2,,1000,,\n"), HasSubstr("\"\" is no whole number"));
  EXPECT_THAT(WhyNoPods(kPodNames + "a,1,2,2,500,,\n"),
              HasSubstr("column 5 (gpu_milli): 500 is out of range 1000 to 1000"));
  EXPECT_THAT(WhyNoPods(kPodNames + "a,1,2,1,1000,\"T4,\n"),
              HasSubstr("line 2: column 6: a quote that does not match"));
  EXPECT_THAT(WhyNoPods(kPodNames + std::string(100'000, 'a') + "\n"),
              HasSubstr("line 2: column 1: longer than 65536 bytes"));
  EXPECT_THAT(WhyNoPods(std::string(3'000'000, 'a')), HasSubstr("column 1: longer than"));
  EXPECT_THAT(WhyNoPods(std::string(300, ',')), HasSubstr("line 1: more than 256 columns"));
}

TEST_F(TraceFiles, RefusesBrokenAndCutOffGzip) {
  std::string rows = kPodNames;
  for (int i = 0; i < 5000; ++i) {
    rows += "pod-" + std::to_string(i * 7919) + ",1,2,1,1000,,\n";
  }
  const std::string path = WriteGzip(rows);
  const auto bytes_whole = std::filesystem::file_size(path);
  ASSERT_EQ(ReadPods(path)->size(), 5000U);

  std::filesystem::resize_file(path, bytes_whole / 2);
  auto cut = ReadPods(path);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, Code::kDataLoss);
  EXPECT_THAT(cut.error().message, HasSubstr("the gzip stream is cut off"));

  WriteGzip(rows);
  std::fstream broken(path, std::ios::in | std::ios::out | std::ios::binary);
  broken.seekp(static_cast<std::streamoff>(bytes_whole / 2));
  broken << std::string(64, '\xff');
  broken.close();
  auto garbled = ReadPods(path);
  ASSERT_FALSE(garbled);
  EXPECT_EQ(ReadPods(folder_ + "/absent").error().code, Code::kNotFound);
}

TEST_F(TraceFiles, StreamsMoreRowsThanAListMayHave) {
  const std::string path = folder_ + "/long.csv.gz";
  gzFile file = gzopen(path.c_str(), "wb1");
  gzputs(file, "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n");
  std::string block;
  for (int i = 0; i < 1000; ++i) {
    block += "p,1,2,1,500\n";
  }
  for (size_t i = 0; i < kTraceRowsMax / 1000 + 1; ++i) {
    gzwrite(file, block.data(), static_cast<unsigned>(block.size()));
  }
  gzclose(file);
  size_t rows = 0;
  ASSERT_TRUE(ForEachPod(path, [&](const TracePod&) -> Result<void> {
    ++rows;
    return {};
  }));
  EXPECT_EQ(rows, kTraceRowsMax + 1000);
  EXPECT_EQ(ReadPods(path).error().code, Code::kResourceExhausted);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// Memory that this process has had at most.
int64_t PeakKib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

// Seeded rows through a pipe, so that no file is as long as the list. SLUICE_ROWS=10000000 is the
// long form.
TEST_F(TraceFiles, ReadsAStreamOfAnyLengthInTheSameMemory) {
  const char* const asked = std::getenv("SLUICE_ROWS");
  const int64_t count = asked != nullptr ? std::atoll(asked) : 300'000;
  ASSERT_GT(count, 0);
  const std::string path = folder_ + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  int64_t written_milli = 0;
  std::thread writer([&] {
    SeededRandom random(5);
    std::ofstream out(path, std::ios::binary);
    out << "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n";
    for (int64_t i = 0; i < count; ++i) {
      const auto milli = static_cast<int64_t>(1 + random.Next() % 1000);
      out << "pod-" << i << ',' << random.Next() % 90'000 << ",4096,1," << milli << '\n';
      written_milli += milli;
    }
  });
  const int64_t before = PeakKib();
  int64_t rows = 0;
  int64_t read_milli = 0;
  const auto done = ForEachPod(path, [&](const TracePod& pod) -> Result<void> {
    ++rows;
    read_milli += pod.gpu_milli;
    return {};
  });
  writer.join();
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(rows, count);
  EXPECT_EQ(read_milli, written_milli);
  // The rows would take some ten times as much, in the short form too. A sanitizer keeps what is
  // freed.
  if (!kSanitized) {
    EXPECT_LT(PeakKib() - before, 4 * 1024);
  }
}

TEST_F(TraceFiles, ReadsOrdersAndRefusesRowsThatAreNotThere) {
  const auto orders = ReadOrders(Write("pods 7 2 0 2\nnodes 7 1 0\n"), {3, 2});
  ASSERT_TRUE(orders) << orders.error().message;
  EXPECT_EQ(orders->at(0).seed, 7U);
  EXPECT_THAT(orders->at(0).pods, ElementsAre(2, 0, 2));
  EXPECT_THAT(orders->at(0).nodes, ElementsAre(1, 0));
  const auto why = [&](const std::string& text) {
    return ReadOrders(Write(text), {3, 2}).error().message;
  };
  EXPECT_THAT(why("pods 7 2 3\n"), HasSubstr("line 1: column 4 (row): 3 is out of range 0 to 2"));
  EXPECT_THAT(why("pods 7 2\n"), HasSubstr("seed 7 has no row of nodes"));
  EXPECT_THAT(why("cards 7 2\n"), HasSubstr("column 1 (list): neither pods nor nodes"));
}

TEST_F(TraceFiles, ReadsPublishedCurves) {
  const auto read =
      ReadPublished(Write("metric,workload,sc_policy,seed,95,100\n"
                          "alloc_pct,default,06-FGD,42,94.5,\n"));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_THAT(read->loads, ElementsAre(95, 100));
  EXPECT_EQ(read->curves.at(0).policy, "06-FGD");
  EXPECT_DOUBLE_EQ(read->curves.at(0).values[0], 94.5);
  EXPECT_TRUE(std::isnan(read->curves.at(0).values[1]));
  EXPECT_THAT(ReadPublished(Write("a,b,c,d,95\nx,y,z,1,nan\n")).error().message,
              HasSubstr("line 2: column 5 (load): \"nan\" is no number"));
}

TEST(DrawnOrder, AsksForTheLoadAndIsTheSameForASeed) {
  const std::vector<TraceNode> nodes(10, {"n", 1000, 1000, 8, "T4"});
  std::vector<TracePod> pods(20);
  for (TracePod& pod : pods) {
    pod.gpus = 1;
    pod.gpu_milli = 500;
  }
  const ArrivalOrder order = DrawOrder(nodes, pods, {.seed = 1, .load_percent = 130});
  EXPECT_EQ(order.pods.size(), 208U);  // 104 cards.
  std::vector<int32_t> first(order.pods.begin(), order.pods.begin() + 20);
  std::sort(first.begin(), first.end());
  EXPECT_TRUE(std::adjacent_find(first.begin(), first.end()) == first.end());
  EXPECT_EQ(DrawOrder(nodes, pods, {.seed = 1}).pods, order.pods);
  EXPECT_NE(DrawOrder(nodes, pods, {.seed = 2}).pods, order.pods);
}

// The published data, where this machine has it.
TEST(Openb, HasTheNumbersOfItsDescription) {
  const auto folder = FindOpenb("");
  if (!folder) {
    std::printf("not run: %s\n", folder.error().message.c_str());
    return;
  }
  const auto variant = ReadVariant(*folder, "default");
  ASSERT_TRUE(variant) << variant.error().message;
  EXPECT_EQ(variant->nodes.size(), 1213U);
  EXPECT_EQ(variant->pods.size(), 8152U);
  EXPECT_EQ(variant->orders.size(), 10U);
  EXPECT_EQ(variant->orders.at(0).pods.size(), 10'866U);
  const auto published = ReadPublished(*folder + "/fgd_published_results.csv.gz");
  ASSERT_TRUE(published) << published.error().message;
  EXPECT_FALSE(published->curves.empty());
  for (const char* name : {"gpuspec33", "gpushare100", "multigpu50", "cpu250", "cpu300"}) {
    std::error_code absent;
    if (!std::filesystem::exists(*folder + "/openb_pod_list_" + name + ".csv.gz", absent)) {
      continue;
    }
    const auto other = ReadVariant(*folder, name);
    EXPECT_TRUE(other) << other.error().message;
  }
}

}  // namespace
}  // namespace sluice::sim
