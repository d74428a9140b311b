// SPDX-License-Identifier: Apache-2.0
// Control as it runs in an instance: its own thread, its workers, and callers from others.
#include <chrono>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/guarded.h"
#include "control/internal/controller.h"
#include "control/internal/testing/node.h"
#include "control/run_process.h"
#include "store/memory.h"

namespace sluice::control {
namespace {

class QuietAudit final : public AuditSink {
 public:
  void Append(const Actor&, const AuditNote& note) override {
    notes.With([&](auto& all) { all.push_back(note.action); });
  }
  Guarded<std::vector<std::string>> notes;
};

class Threads : public ::testing::Test {
 protected:
  Threads() {
    node_.AddCard("GPU-1", 24_GiB);
    control_ = Control::Create({*store_, node_.agent(), node_.runtime(), audit_, clock_},
                               {.tick = Duration(20)});
  }

  DesktopId Add(int number) {
    Desktop desktop;
    desktop.id = DesktopId("dsk_" + std::to_string(number));
    desktop.name = "d";
    desktop.template_id = TemplateId("compile");
    desktop.request.memory = 8_GiB;
    desktop.reason = "Waiting.";
    EXPECT_TRUE(store_->Commit(std::vector{store::Put(desktop, 0)}));
    control_->Nudge();
    return desktop.id;
  }

  // As the portal does: again when control was faster.
  void Wish(const DesktopId& id, DesiredState desired) {
    for (;;) {
      auto row = store::Read<Desktop>(*store_, id.text());
      ASSERT_TRUE(row);
      row->value.desired = desired;
      if (store_->Commit(std::vector{store::Put(row->value, row->version)})) break;
    }
    control_->Nudge();
  }

  // Waits for changes of the store until `done` or half a minute.
  bool Until(const std::function<bool()>& done) {
    auto watch = store_->WatchFrom(store_->Version(), {});
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      if (!watch->Next(Duration(50))) return false;
    }
    return true;
  }

  bool Is(const DesktopId& id, DesktopState state) {
    const auto row = store::Read<Desktop>(*store_, id.text());
    return row && row->value.state == state;
  }
  // What a failure says of it.
  std::string Story(const DesktopId& id) {
    const auto row = store::Read<Desktop>(*store_, id.text());
    if (!row) return id.text() + " is gone";
    std::string story = fmt::format("{} {} v{} desired {}: {} claim {}",
                                    id.text(),
                                    ToString(row->value.state),
                                    row->version,
                                    ToString(row->value.desired),
                                    row->value.reason,
                                    row->value.claim.text());
    const auto claim = store::Read<Claim>(*store_, row->value.claim.text());
    if (claim) story += fmt::format(" {} {}", ToString(claim->value.phase), claim->value.reason);
    return story;
  }
  bool Gone(const DesktopId& id) { return !store::Read<Desktop>(*store_, id.text()); }

  testing::Node node_;
  SystemClock clock_;
  QuietAudit audit_;
  std::unique_ptr<store::Store> store_ = store::OpenMemory();
  std::unique_ptr<Control> control_;
};

TEST_F(Threads, TakeDesktopsFromWishToEndWhileOthersAsk) {
  control_->Start();
  std::atomic<bool> stop = false;
  std::jthread asker([&] {
    while (!stop) {
      for (const Offer& offer : control_->Offers({4_GiB, {}})) EXPECT_FALSE(offer.answer.empty());
      control_->ReportViewers(DesktopId("dsk_0"), {.viewers = 1, .last_input_at = clock_.Now()});
      control_->UsualStageTimes();
      control_->PlaceInQueue(ClaimId("clm_x"));
      control_->Nudge();
      std::this_thread::yield();
    }
  });
  std::vector<DesktopId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(Add(i));
  // Three fit; the others come as places become free.
  EXPECT_TRUE(Until([&] { return Is(ids[0], DesktopState::kConnected); })) << Story(ids[0]);
  for (const DesktopId& id : ids) {
    EXPECT_TRUE(Until([&] {
      return Is(id, DesktopState::kReady) || Is(id, DesktopState::kConnected);
    })) << Story(id);
    Wish(id, DesiredState::kDeleted);
  }
  for (const DesktopId& id : ids) EXPECT_TRUE(Until([&] { return Gone(id); }));
  stop = true;
  asker.join();
  const auto gpus = store::ReadAll<Gpu>(*store_);
  ASSERT_TRUE(gpus);
  EXPECT_TRUE(gpus->front().value.shares.empty());
}

TEST_F(Threads, EndInTheMiddleOfWork) {
  for (int round = 0; round < 20; ++round) {
    control_->Start();
    Add(round);
    control_ = Control::Create({*store_, node_.agent(), node_.runtime(), audit_, clock_},
                               {.tick = Duration(20)});
  }
  control_->Start();
  EXPECT_TRUE(Until([&] { return Is(DesktopId("dsk_0"), DesktopState::kReady); }));
}

TEST(RunProcess, IsKnownByPidAndStart) {
  const auto start = ProcessStart(getpid());
  ASSERT_TRUE(start);
  EXPECT_EQ(ProcessStart(getpid()), start);
  EXPECT_EQ(ProcessStart(0), std::nullopt);
  EXPECT_EQ(ProcessStart(-1), std::nullopt);
  // The kernel's own count, by another way: it is not later than now.
  EXPECT_GT(*start, 0);
}

}  // namespace
}  // namespace sluice::control
