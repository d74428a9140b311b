// SPDX-License-Identifier: Apache-2.0
// Threads that end inside the interposer, at each of its named points: the process's other threads
// go on, what the card holds stays charged, and everything is given back with the process.
#include <atomic>
#include <chrono>
#include <fcntl.h>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>

#include "shim/share_box.h"
#include "simgpu/truth.h"

namespace sluice::shim {
namespace {

const std::string kTests = std::string(SLUICE_BUILD_DIR) + "/tests";
constexpr uint64_t kMib = uint64_t{1} << 20;

uint64_t NowMs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

// A dead sibling's slot, with a charge in it.
void LeaveADeadSlot(ShareBox& box) {
  const int file = open((box.folder() + "/ledger").c_str(), O_RDWR | O_CLOEXEC);
  const int slot = region::TakeSlot(box.ledger(), file, 77, 77);
  ASSERT_TRUE(region::Charge({&box.ledger(), 0, slot}, 200 * kMib, region::kBytesMax));
  close(file);
}

constexpr const char* kPoints[] = {"driver",
                                   "driven",
                                   "slot",
                                   "cell",
                                   "word",
                                   "pool",
                                   "emptied",
                                   "entry",
                                   "removed",
                                   "table",
                                   "known",
                                   "charge",
                                   "flight",
                                   "join",
                                   "burst",
                                   "shelf",
                                   "row",
                                   "watch"};

struct Case {
  const char* manner;
  bool granted;  // Else the gate is open.
};

class AThreadThatEnds : public testing::TestWithParam<Case> {};

TEST_P(AThreadThatEnds, HoldsNobodyUpWhereverItWas) {
  for (const char* point : kPoints) {
    SCOPED_TRACE(point);
    ShareBox box({.interposer = kTests + "/stops/libsluice-cuda.so"});
    LeaveADeadSlot(box);
    const std::jthread heart([&box](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        box.policy().heartbeat_ms = NowMs();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    });
    region::ComputeGrant& grant = box.policy().grants[0];
    grant.until_ns = UINT64_MAX;
    grant.in_flight_ns = 5'000'000;
    grant.word = region::GrantWord(
        1, GetParam().granted ? region::GrantMode::kRun : region::GrantMode::kOpen);
    auto program = box.Start({kTests + "/shim_ends_probe", point, GetParam().manner});
    std::istringstream line(ShareBox::ReadLine(program.from));
    int ended = -1;
    int code = -1;
    line >> ended >> code;
    EXPECT_EQ(code, 0);
    // Under a grant work is joined only when much is in flight, which a slow machine never sees.
    EXPECT_GE(ended, GetParam().granted && std::string(point) == "join" ? 0 : 1);
    // What the card holds is charged; and what is charged beside that is the ended calls' own.
    auto truth = simgpu::Truth::Open(box.state_folder());
    ASSERT_TRUE(truth);
    uint64_t held = 0;
    for (const simgpu::ProcessTruth& process : truth->Read(0).processes) {
      held += static_cast<uint64_t>(process.memory.value());
    }
    const uint64_t charged = region::Total(box.ledger(), 0);
    EXPECT_LE(held, charged + 2 * kMib);  // Small blocks take a whole piece of the card.
    EXPECT_LE(charged, held + static_cast<uint64_t>(ended) * 4 * kMib);
    EXPECT_EQ(box.Finish(program), 0);
    region::ReclaimIfDead(box.ledger(), box.ledger_file(), region::NextTaken(box.ledger(), 0));
    EXPECT_EQ(region::Total(box.ledger(), 0), 0U);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(InAnyManner,
                         AThreadThatEnds,
                         testing::Values(Case{"exit", false},
                                         Case{"exit", true},
                                         Case{"pthread_exit", true},
                                         Case{"cancel", false}));

}  // namespace
}  // namespace sluice::shim
