// SPDX-License-Identifier: Apache-2.0
// The ledger against what the cards really hold, through random sequences of every call that takes
// or gives back memory: 1 to 16 programs at once, ended by SIGKILL at every named point of the
// interposer (points.h) and of the driver, and anywhere else.
//
//   SLUICE_LEDGER_SEEDS=N   how many sequences (300)
//   SLUICE_LEDGER_SEED=S    the first one's seed, as a failure names it
//   SLUICE_LEDGER_SHOW=1    every message
#include <algorithm>
#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <iostream>
#include <map>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <sstream>
#include <string>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include "base/random.h"
#include "shim/share_box.h"
#include "simgpu/truth.h"

namespace sluice::shim {
namespace {

const std::string kTests = std::string(SLUICE_BUILD_DIR) + "/tests";
constexpr int kCards = 2;
constexpr size_t kProgramsMax = 16;
constexpr int kDeadlineMs = 60'000;
constexpr uint64_t kMib = 1 << 20;
constexpr std::array<uint64_t, kCards> kLimit = {256 * kMib, 192 * kMib};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = getenv(name);
  return text == nullptr ? otherwise : strtoull(text, nullptr, 10);
}

// One place for a program: its socket lasts, the programs in it come and go.
struct Place {
  int ours = -1;
  int theirs = -1;
  pid_t pid = 0;  // 0: nobody.
  int pidfd = -1;
  int slot = -1;
  bool stopped = false;  // At a point, within the call that it was told.
  // Its driver refuses something that fits. Managed memory then stays with the machine, and is
  // charged.
  bool faulty = false;
  bool flipped = false;  // Counts the cards the other way round.
  std::array<uint64_t, kCards> contexts{};
};

enum class Heard { kAnswer, kStop, kEnd, kNothing };

class Sequences {
 public:
  explicit Sequences(Bytes context)
      : context_(static_cast<uint64_t>(context.value())),
        box_({.fleet = "2x24GiB",
              .limit = Bytes(static_cast<int64_t>(kLimit[0])),
              .context = context,
              .real_context = context,
              .interposer = kTests + "/stops/libsluice-cuda.so"}) {
    region::PolicyDevice& second = box_.policy().devices[1];
    EXPECT_TRUE(region::ParseUuid(box_.Uuid(1).c_str(), second.uuid));
    second.memory_limit_bytes = kLimit[1];
    second.context_bytes = context_;
    box_.policy().device_count = kCards;
    for (Place& place : places_) {
      int ends[2];
      EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
      fcntl(ends[0], F_SETFD, FD_CLOEXEC);
      place.ours = ends[0];
      place.theirs = ends[1];
    }
    nursery_ = box_.Start({kTests + "/shim_ledger_probe"});
    auto truth = simgpu::Truth::Open(box_.state_folder());
    EXPECT_TRUE(truth);
    truth_.emplace(std::move(*truth));
  }
  Sequences(const Sequences&) = delete;
  Sequences& operator=(const Sequences&) = delete;
  ~Sequences() {
    box_.Kill(nursery_);
    for (const Place& place : places_) {
      close(place.ours);
      close(place.theirs);
    }
  }

  void Run(uint64_t seed) {
    random_ = SeededRandom(seed);
    exports_.clear();
    count_ = std::min(random_.Next(), random_.Next()) % kProgramsMax + 1;
    for (size_t i = 0; i < count_; ++i) Begin(places_[i]);
    const uint64_t steps = 20 + random_.Next() % 30;
    for (uint64_t step = 0; step < steps && !testing::Test::HasFatalFailure(); ++step) {
      SCOPED_TRACE(testing::Message() << "step " << step);
      Step();
      Check();
    }
    if (!testing::Test::HasFatalFailure()) GiveAllBack();
  }

  // How often a program was ended or stopped at each point.
  const std::map<std::string, int>& met() const { return met_; }

 private:
  uint64_t Dice(uint64_t sides) { return random_.Next() % sides; }

  Place* Any(bool stopped) {
    std::vector<Place*> found;
    for (Place& place : places_) {
      if (place.pid != 0 && place.stopped == stopped) found.push_back(&place);
    }
    return found.empty() ? nullptr : found[Dice(found.size())];
  }

  void Begin(Place& place) {
    static constexpr const char* kPoints[] = {"init", "context", "charge", "charged", "uncharge"};
    std::string fault = "-";
    const uint64_t kind = Dice(10);
    if (kind < 3) {
      fault = std::string(kPoints[kind == 0 ? Dice(5) : 2 + Dice(3)]) + ":" +
              std::to_string(1 + Dice(12)) + (kind == 1 ? ":2" : ":kill");
    }
    if (kind == 3) fault = "slot";
    place.faulty = kind == 1;
    place.flipped = Dice(3) == 0;
    const std::string line =
        std::to_string(place.theirs) + (place.flipped ? " 1,0 " : " 0,1 ") + fault + "\n";
    ASSERT_EQ(write(nursery_.to, line.data(), line.size()), static_cast<ssize_t>(line.size()));
    place.pid = static_cast<pid_t>(std::stol(ShareBox::ReadLine(nursery_.from)));
    place.pidfd = static_cast<int>(syscall(SYS_pidfd_open, place.pid, 0));
    place.stopped = false;
    std::string said;
    const Heard heard = Listen(place, said);
    ASSERT_NE(heard, Heard::kNothing);
    if (heard == Heard::kStop) ++met_["slot"];
    if (heard == Heard::kAnswer && said == "failed") End(place);
    if (place.pid != 0) place.contexts = {1, 1};
  }

  // -1: it has none yet.
  int SlotOf(Place& place) {
    for (int slot = region::NextTaken(box_.ledger(), 0); slot >= 0 && place.slot < 0;
         slot = region::NextTaken(box_.ledger(), slot + 1)) {
      if (box_.ledger().slots[slot].pid == static_cast<uint32_t>(place.pid)) place.slot = slot;
    }
    return place.slot;
  }

  // What the program says next. Its end leaves the place empty.
  Heard Listen(Place& place, std::string& said) {
    pollfd ears[2] = {{place.ours, POLLIN, 0}, {place.pidfd, POLLIN, 0}};
    if (place.pidfd >= 0 && poll(ears, 2, kDeadlineMs) <= 0) return Heard::kNothing;
    char text[512];
    const ssize_t got = recv(place.ours, text, sizeof(text), MSG_DONTWAIT);
    if (got <= 0) {
      Gone(place);
      return Heard::kEnd;
    }
    said.assign(text, static_cast<size_t>(got));
    place.stopped = said == "at";
    if (show_) std::cerr << "  " << place.pid << " says " << said << "\n";
    return place.stopped ? Heard::kStop : Heard::kAnswer;
  }

  void Gone(Place& place) {
    close(place.pidfd);
    char text[512];
    while (recv(place.ours, text, sizeof(text), MSG_DONTWAIT) > 0) {
    }
    place = {.ours = place.ours, .theirs = place.theirs};
  }

  // Ends it wherever it is, and waits until the kernel has.
  void End(Place& place) {
    kill(place.pid, SIGKILL);
    pollfd ear = {place.pidfd, POLLIN, 0};
    ASSERT_TRUE(place.pidfd < 0 || poll(&ear, 1, kDeadlineMs) == 1);
    Gone(place);
  }

  void Say(const Place& place, const std::string& text) {
    if (show_) std::cerr << "  " << place.pid << " is told " << text << "\n";
    ASSERT_EQ(send(place.ours, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }

  std::string Command() {
    const std::string card = std::to_string(Dice(kCards)) + " ";
    if (!exports_.empty() && Dice(12) == 0) {
      return "import " + card + exports_[Dice(exports_.size())];
    }
    return "do " + card + std::to_string(random_.Next());
  }

  // Nobody ever waits for another: whatever the others do, an answer comes, a stop, or the end.
  void Hear(Place& place) {
    std::string said;
    ASSERT_NE(Listen(place, said), Heard::kNothing) << "process " << place.pid;
    if (said == "failed") return End(place);
    if (const size_t at = said.find("export "); at != said.npos) {
      exports_.push_back(said.substr(at + 7));
    }
  }

  void Burst() {
    std::vector<Place*> told;
    for (Place& place : places_) {
      if (place.pid == 0 || place.stopped) continue;
      Say(place, Command());
      told.push_back(&place);
    }
    for (Place* place : told) Hear(*place);
  }

  // Tells one to stop at a point; then it works until it has, or was not there.
  void ToAPoint(Place& place) {
    struct Row {
      const char* name;
      uint64_t within;
    };
    static constexpr Row kPoints[] = {{"driver", 30},
                                      {"driven", 30},
                                      {"cell", 6},
                                      {"word", 6},
                                      {"pool", 3},
                                      {"emptied", 1},
                                      {"driver", 3},
                                      {"driven", 3}};
    const Row& point = kPoints[Dice(std::size(kPoints))];
    Say(place, std::string("stop ") + point.name + " " + std::to_string(1 + Dice(point.within)));
    Hear(place);
    for (int i = 0; i < 6 && place.pid != 0 && !place.stopped; ++i) {
      Say(place, Command());
      Hear(place);
    }
    if (place.stopped) {
      ++met_[point.name];
    } else if (place.pid != 0) {
      Say(place, "stop none 0");
      Hear(place);
    }
  }

  void ReclaimSome() {
    for (int slot = region::NextTaken(box_.ledger(), 0); slot >= 0;
         slot = region::NextTaken(box_.ledger(), slot + 1)) {
      if (Dice(2) == 0) region::ReclaimIfDead(box_.ledger(), box_.ledger_file(), slot);
    }
  }

  void Step() {
    Place* const active = Any(false);
    Place* const stopped = Any(true);
    const uint64_t kind = Dice(20);
    if (active == nullptr || kind == 0) {
      for (size_t i = 0; i < count_; ++i) {
        if (places_[i].pid == 0) return Begin(places_[i]);
      }
    }
    if (stopped != nullptr && (active == nullptr || kind < 5)) {
      if (Dice(2) == 0) return End(*stopped);
      Say(*stopped, "go");
      return Hear(*stopped);
    }
    if (active == nullptr) return;
    if (kind < 7) return ToAPoint(*active);
    if (kind == 7) return ReclaimSome();
    if (kind == 8 && Dice(2) == 0) return End(*active);
    if (kind == 8) {
      ++met_["anywhere"];
      Say(*active, Command());
      return End(*active);
    }
    if (kind < 12) return Burst();
    Say(*active, Command());
    Hear(*active);
  }

  // What each living program holds is what it is charged; all together, never beyond the limit.
  void Check() {
    for (Place& place : places_) {
      if (place.pid == 0 || place.stopped) continue;
      std::string said;
      Say(place, "sync");
      const Heard heard = Listen(place, said);
      ASSERT_NE(heard, Heard::kNothing);
      if (heard != Heard::kAnswer) continue;
      std::istringstream words(said);
      int code = -1;
      words >> code >> place.contexts[place.flipped ? 1 : 0] >>
          place.contexts[place.flipped ? 0 : 1];
    }
    if (show_) std::cerr << Books() << "\n";
    region::LedgerPage& page = box_.ledger();
    for (int card = 0; card < kCards; ++card) {
      uint64_t sum = 0;
      for (int slot = 0; slot < region::kSlotCount; ++slot) sum += region::Held(page, card, slot);
      ASSERT_EQ(region::Total(page, card), sum) << "card " << card;
      ASSERT_LE(sum, kLimit[static_cast<size_t>(card)]) << "card " << card;
      const simgpu::CardTruth truth = truth_->Read(card);
      // At no instant, not even within a call. Contexts are charged with the first allocation.
      ASSERT_LE(static_cast<uint64_t>(truth.memory_peak.value()),
                kLimit[static_cast<size_t>(card)] + kProgramsMax * context_);
      for (const simgpu::ProcessTruth& process : truth.processes) CheckProcess(card, process);
    }
  }

  void CheckProcess(int card, const simgpu::ProcessTruth& process) {
    for (Place& place : places_) {
      if (place.pid == 0 || place.pid != process.pid || SlotOf(place) < 0) continue;
      const uint64_t held = region::Held(box_.ledger(), card, place.slot);
      const auto really = static_cast<uint64_t>(process.memory.value());
      const uint64_t contexts = place.contexts[static_cast<size_t>(card)] * context_;
      const uint64_t charged = box_.ledger().slots[place.slot].devices[card].context_bytes.load();
      if (place.faulty && held - charged > really - contexts) continue;  // See Place.
      if (!place.stopped) {
        ASSERT_EQ(held - charged, really - contexts) << "card " << card << " process " << place.pid;
        // One is charged with the first allocation, whether or not it needed a context.
        ASSERT_LE(charged, contexts + context_);
      } else if (context_ == 0) {
        // In the middle of a call: what it has, or is about to have, is charged.
        ASSERT_LE(really, held) << "card " << card << " process " << place.pid;
      }
    }
  }

  // Some end, the others give everything back; then one of them gets all there is.
  void GiveAllBack() {
    for (Place& place : places_) {
      if (place.pid == 0) continue;
      if (place.stopped || Dice(3) == 0) {
        End(place);
        continue;
      }
      Say(place, "free");
      Hear(place);
    }
    for (Place& place : places_) {
      if (place.stopped) End(place);
    }
    Check();
    Place* filler = Any(false);
    for (int tries = 0; filler == nullptr && tries < 20; ++tries) {
      if (places_[0].pid != 0) End(places_[0]);
      Begin(places_[0]);
      filler = Any(false);
    }
    ASSERT_NE(filler, nullptr);
    Fill(*filler);
    for (Place& place : places_) {
      if (place.pid != 0) End(place);
    }
    for (int slot = 0; slot < region::kSlotCount; ++slot) {
      region::ReclaimIfDead(box_.ledger(), box_.ledger_file(), slot);
    }
    for (int card = 0; card < kCards; ++card) {
      ASSERT_EQ(region::Total(box_.ledger(), card), 0U);
    }
  }

  // For people.
  std::string Books() {
    std::ostringstream text;
    for (int card = 0; card < kCards; ++card) {
      text << "\ncard " << card << ": " << region::Total(box_.ledger(), card);
      const auto processes = truth_->Read(card).processes;
      for (Place& place : places_) {
        if (place.pid == 0 || SlotOf(place) < 0) continue;
        text << "\n  process " << place.pid << (place.stopped ? " stopped" : "") << ": charged "
             << region::Held(box_.ledger(), card, place.slot);
        for (const auto& process : processes) {
          if (process.pid == place.pid) text << ", has " << process.memory.value();
        }
      }
    }
    return text.str();
  }

  // Nobody has looked after the dead: it finds what they held by itself.
  void Fill(Place& filler) {
    const int card = static_cast<int>(Dice(kCards));
    uint64_t rest = kLimit[static_cast<size_t>(card)];
    for (Place& place : places_) {
      if (place.pid != 0 && SlotOf(place) >= 0) {
        // Contexts; the filler's own is charged with its first allocation.
        const uint64_t held = region::Held(box_.ledger(), card, place.slot);
        rest -= &place == &filler ? std::max(held, context_) : held;
      }
    }
    Say(filler,
        "fill " + std::to_string(filler.flipped ? 1 - card : card) + " " + std::to_string(rest));
    std::string said;
    const Heard heard = Listen(filler, said);
    ASSERT_NE(heard, Heard::kNothing);
    if (heard == Heard::kAnswer) {
      ASSERT_TRUE(said == "0" || filler.faulty) << said << " for " << rest << Books();
    }
  }

  const bool show_ = getenv("SLUICE_LEDGER_SHOW") != nullptr;
  uint64_t context_;
  ShareBox box_;
  std::array<Place, kProgramsMax> places_;
  ShareBox::Started nursery_;
  std::optional<simgpu::Truth> truth_;
  SeededRandom random_{0};
  size_t count_ = 0;
  std::vector<std::string> exports_;
  std::map<std::string, int> met_;
};

TEST(TheLedger, SaysWhatTheCardsHoldThroughAllCallsAndKills) {
  const uint64_t count = FromEnvironment("SLUICE_LEDGER_SEEDS", 300);
  const uint64_t first = FromEnvironment("SLUICE_LEDGER_SEED", SystemRandom().Next() >> 16);
  // Every second sequence with contexts that take memory.
  Sequences without(Bytes{0});
  Sequences with(MiB(2));
  for (uint64_t i = 0; i < count && !HasFatalFailure(); ++i) {
    SCOPED_TRACE(testing::Message()
                 << "SLUICE_LEDGER_SEED=" << first + i << " SLUICE_LEDGER_SEEDS=1");
    ((first + i) % 2 == 0 ? without : with).Run(first + i);
  }
  std::map<std::string, int> met = without.met();
  for (const auto& [point, times] : with.met()) met[point] += times;
  for (const char* point :
       {"driver", "driven", "slot", "cell", "word", "pool", "emptied", "anywhere"}) {
    EXPECT_TRUE(count < 300 || met[point] > 0) << point;
  }
}

}  // namespace
}  // namespace sluice::shim
