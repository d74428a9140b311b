// SPDX-License-Identifier: Apache-2.0
// Agent, gate and simulated cards together: who has how much of a card's time, in real time. What
// is waited for is what the agent charges; the simulated card says the same by its own samples.
#include <chrono>
#include <cmath>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <memory>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

#include "agent/internal/testing/simulated.h"
#include "agent/local_agent.h"
#include "shim/share_box.h"

namespace sluice::agent {
namespace {

using namespace std::chrono_literals;
using shim::ShareBox;
using testing::Eventually;

const std::string kBuild = SLUICE_BUILD_DIR;
const std::string kProbe = kBuild + "/tests/shim_gate_probe";
const std::string kGang = kBuild + "/tests/agent_gang_probe";

ShareBox::Options BoxOptions(const std::string& fleet) {
  ShareBox::Options options;
  options.fleet = fleet;
  options.own_pids = true;
  return options;
}

class ShareComputeTest : public ::testing::Test {
 protected:
  struct Share {
    ClaimId claim;
    ShareBox::Started program;
  };

  explicit ShareComputeTest(const std::string& fleet = "1x24GiB") : box_(BoxOptions(fleet)) {
    backend_ = testing::OpenCards(box_);
    Restart();
  }

  void Restart() {
    agent_.reset();
    LocalAgentOptions options;
    options.folder = box_.folder() + "/shares";
    options.interposer = kBuild + "/lib/libsluice-cuda.so";
    auto agent = StartLocalAgent(*backend_, options);
    ASSERT_TRUE(agent) << agent.error().message;
    agent_ = std::move(*agent);
  }

  std::vector<Allocation> Cards(int64_t guarantee, int64_t cap) const {
    return {{GpuId(box_.Uuid(0)), 2_GiB, ComputeMillis(guarantee), ComputeMillis(cap)}};
  }

  // A share with one program that is ready to work.
  Share Add(const std::string& claim, int64_t guarantee, int64_t cap = 0) {
    return Add(claim, Cards(guarantee, cap), kProbe);
  }
  Share Add(const std::string& claim,
            const std::vector<Allocation>& cards,
            const std::string& program) {
    ShareSpec spec;
    spec.claim = ClaimId(claim);
    spec.label = claim;
    spec.allocations = cards;
    spec.tenant_uid = geteuid();
    const auto prepared = agent_->Prepare(spec);
    EXPECT_TRUE(prepared) << prepared.error().message;
    box_.UseRegion(box_.folder() + "/shares/" + claim);
    Share share{spec.claim, box_.Start({program})};
    EXPECT_EQ(ShareBox::ReadLine(share.program.from), "ready");
    return share;
  }

  // Works from now on, until it is killed with the box.
  static void Work(const Share& share, const std::string& form, int micros, int sync) {
    const std::string line =
        "keep " + form + " " + std::to_string(micros) + " 600000 " + std::to_string(sync) + "\n";
    EXPECT_EQ(write(share.program.to, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }

  // One of the share's pages, for reading.
  template <typename Page>
  std::shared_ptr<const Page> PageOf(const Share& share, const std::string& name) const {
    const std::string path = box_.folder() + "/shares/" + share.claim.text() + "/" + name;
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    void* const at = mmap(nullptr, sizeof(Page), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    EXPECT_NE(at, MAP_FAILED);
    return {static_cast<const Page*>(at),
            [](const Page* page) { munmap(const_cast<Page*>(page), sizeof(Page)); }};
  }

  // What the share's programs say themselves.
  uint64_t FinishedNs(const Share& share) const {
    const auto page = PageOf<region::LedgerPage>(share, "ledger");
    uint64_t sum = 0;
    for (int i = region::NextTaken(*page, 0); i >= 0; i = region::NextTaken(*page, i + 1)) {
      sum += page->slots[i].devices[0].finished_ns.load();
    }
    return sum;
  }

  DeviceUsage Of(const Share& share) { return agent_->Usage(share.claim)->devices.at(0); }
  bool Has(const Share& share, int64_t percent) {
    return std::abs(Of(share).compute_used.value() - percent * 10) <= 50;
  }

  ShareBox box_;
  std::unique_ptr<device::Backend> backend_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(ShareComputeTest, DividesACardByGuaranteeAndLendsWhatIsLeft) {
  Share small = Add("clm_small", 300);
  Share large = Add("clm_large", 700);
  Work(small, "kernel", 1000, 0);
  Work(large, "kernel", 2000, 0);
  EXPECT_TRUE(Eventually([&] { return Has(small, 30) && Has(large, 70); }));
  EXPECT_GT(Of(small).compute_waiting.value(), 0);
  // The driver sees the same.
  EXPECT_TRUE(Eventually([&] {
    return Of(small).utilization_percent > 15 &&
           Of(large).utilization_percent > Of(small).utilization_percent;
  }));
  box_.Kill(large.program);
  EXPECT_TRUE(Eventually([&] { return Of(small).compute_used.value() > 800; }));
}

TEST_F(ShareComputeTest, TakesNewTermsWhileProgramsRun) {
  Share a = Add("clm_a", 500);
  Share b = Add("clm_b", 500);
  Work(a, "kernel", 500, 1);
  Work(b, "graph", 300, 0);
  EXPECT_TRUE(Eventually([&] { return Has(a, 50) && Has(b, 50); }));
  ASSERT_TRUE(agent_->Resize(a.claim, Cards(200, 0)));
  ASSERT_TRUE(agent_->Resize(b.claim, Cards(800, 0)));
  EXPECT_TRUE(Eventually([&] { return Has(a, 20) && Has(b, 80); }));
  ASSERT_TRUE(agent_->Resize(b.claim, Cards(800, 400)));
  EXPECT_TRUE(Eventually([&] { return Has(b, 40) && Of(a).compute_used.value() > 450; }));
}

TEST_F(ShareComputeTest, KeepsACapOfAShareThatIsAlone) {
  Share capped = Add("clm_capped", 300, 400);
  Work(capped, "kernel", 500, 0);
  EXPECT_TRUE(Eventually([&] { return Has(capped, 40); }));
}

TEST_F(ShareComputeTest, GivesTheCardToAHigherPriorityFirst) {
  Share low = Add("clm_low", 700);
  Share high = Add("clm_high", 300);
  Work(low, "kernel", 1000, 0);
  Work(high, "kernel", 1000, 0);
  EXPECT_TRUE(Eventually([&] { return Has(low, 70) && Has(high, 30); }));
  ASSERT_TRUE(agent_->Govern(high.claim, {.priority = 1}));
  EXPECT_TRUE(Eventually(
      [&] { return Of(high).compute_used.value() > 950 && Of(low).compute_used.value() < 50; }));
  ASSERT_TRUE(agent_->Govern(high.claim, {.priority = 0}));
  EXPECT_TRUE(Eventually([&] { return Has(low, 70) && Has(high, 30); }));
}

class TwoCardsTest : public ShareComputeTest {
 protected:
  TwoCardsTest() : ShareComputeTest("2x24GiB") {}
  Allocation Card(size_t card, int64_t guarantee) const {
    return {GpuId(box_.Uuid(card)), 2_GiB, ComputeMillis(guarantee), ComputeMillis(0)};
  }
  // Looks at what both cards of the share are told until `over`: of the looks, the part at which
  // one was to run and the other to wait, and was so for some looks before: not just told one by
  // one.
  double Apart(const Share& share, const std::function<bool()>& over) {
    constexpr int kLooksBefore = 20;
    const auto page = PageOf<region::PolicyPage>(share, "policy");
    const auto runs = [&](int card) {
      return region::ModeOf(page->grants[card].word.load()) == region::GrantMode::kRun;
    };
    int64_t looks = 0;
    int64_t apart = 0;
    int in_a_row = 0;
    while (!over()) {
      for (int i = 0; i < 1000; ++i, ++looks) {
        in_a_row = runs(0) != runs(1) ? in_a_row + 1 : 0;
        apart += in_a_row > kLooksBefore ? 1 : 0;
        std::this_thread::sleep_for(20us);
      }
    }
    return static_cast<double>(apart) / static_cast<double>(looks);
  }
  int64_t UsedOn(const Share& share, size_t card) {
    return agent_->Usage(share.claim)->devices.at(card).compute_used.value();
  }
};

// Its two cards stand still for each other, so each of them must be given while the other is.
TEST_F(TwoCardsTest, CarryACollectiveBesideASharePerCard) {
  Share first = Add("clm_first", {Card(0, 500)}, kProbe);
  Share second = Add("clm_second", {Card(1, 500)}, kProbe);
  Work(first, "kernel", 1000, 0);
  Work(second, "kernel", 700, 1);
  Share gang = Add("clm_gang", {Card(0, 500), Card(1, 500)}, kGang);
  const auto rounds = [&] {
    EXPECT_EQ(write(gang.program.to, "\n", 1), 1);
    return std::stoi(ShareBox::ReadLine(gang.program.from));
  };
  const auto all_have_turns = [&] {
    return UsedOn(gang, 0) > 250 && UsedOn(gang, 1) > 250 && UsedOn(first, 0) > 250 &&
           UsedOn(second, 0) > 250;
  };
  EXPECT_TRUE(Eventually([&] { return rounds() > 400 && all_have_turns(); }));
  // Each card for itself, it would have one of them without the other for a seventh of the time.
  const int then = rounds();
  EXPECT_LT(Apart(gang, [&] { return rounds() > then + 1000; }), 0.04);
}

TEST_F(ShareComputeTest, GoesOnWithoutAnAgentAndWithTheNextOne) {
  Share small = Add("clm_small", 300);
  Share large = Add("clm_large", 700);
  Work(small, "kernel", 1000, 0);
  Work(large, "kernel", 1000, 0);
  EXPECT_TRUE(Eventually([&] { return Has(small, 30); }));
  agent_.reset();
  // No grant is as long as this: each paces itself.
  constexpr uint64_t kLongerNs = 200'000'000;
  const uint64_t small_before = FinishedNs(small);
  const uint64_t large_before = FinishedNs(large);
  EXPECT_TRUE(Eventually([&] {
    return FinishedNs(small) > small_before + kLongerNs &&
           FinishedNs(large) > large_before + kLongerNs;
  }));
  Restart();
  EXPECT_TRUE(Eventually([&] { return Has(small, 30) && Has(large, 70); }));
}

}  // namespace
}  // namespace sluice::agent
