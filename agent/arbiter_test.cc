// SPDX-License-Identifier: Apache-2.0
// The controller in virtual time: nothing here depends on the machine's speed.
#include "agent/arbiter.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <ostream>
#include <string>

#include "agent/internal/testing/card_model.h"

namespace sluice::agent {
namespace {

using namespace std::chrono_literals;
using region::GrantMode;
using testing::Program;
using testing::World;

double Seconds(Nanos time) {
  return std::chrono::duration<double>(time).count();
}

// What each share had of the card in the coming `time`, in percent of all that was had.
std::vector<double> Percent(World& world, const std::vector<ShareId>& shares, Nanos time) {
  std::vector<Nanos> before;
  for (const ShareId id : shares) {
    before.push_back(world.Served(id));
  }
  world.Run(time);
  std::vector<double> had;
  double sum = 0;
  for (size_t i = 0; i < shares.size(); ++i) {
    had.push_back(Seconds(world.Served(shares[i]) - before[i]));
    sum += had.back();
  }
  for (double& part : had) {
    part = sum > 0 ? part * 100 / sum : 0;
  }
  return had;
}

// How much of the coming `time` the card spent on these shares, in percent.
double Busy(World& world, const std::vector<ShareId>& shares, Nanos time) {
  Nanos before{0};
  for (const ShareId id : shares) {
    before += world.Served(id);
  }
  world.Run(time);
  Nanos after{0};
  for (const ShareId id : shares) {
    after += world.Served(id);
  }
  return Seconds(after - before) * 100 / Seconds(time);
}

double Jain(const std::vector<double>& parts) {
  double sum = 0;
  double squares = 0;
  for (const double part : parts) {
    sum += part;
    squares += part * part;
  }
  return sum * sum / (static_cast<double>(parts.size()) * squares);
}

void Show(const std::string& what, double value) {
  ::testing::Test::RecordProperty(what, std::to_string(value));
  if (std::getenv("SLUICE_SHOW_FIGURES") != nullptr) {
    std::printf("%-60s %.2f\n", what.c_str(), value);
  }
}

Program Steady(Nanos launch = 1ms) {
  return {.launch = launch};
}
Program Eager(Nanos launch, Nanos think = 0ns) {
  return {.launch = launch, .eager = true, .think = think};
}

struct Pair {
  std::string name;
  uint32_t first;
  uint32_t second;
  Program a;
  Program b;
  double points = 2;
  bool thinks = false;  // Holds the card in its pauses, and is charged for them.

  friend std::ostream& operator<<(std::ostream& out, const Pair& pair) { return out << pair.name; }
};

class Split : public ::testing::TestWithParam<Pair> {};

TEST_P(Split, GivesEachItsGuarantee) {
  const Pair& p = GetParam();
  World world;
  const ShareId a = world.Add({.guarantee = p.first}, p.a);
  const ShareId b = world.Add({.guarantee = p.second}, p.b);
  world.Run(300ms);
  const Nanos held_a = world.arbiter().AccountOf({a, 0})->held;
  const Nanos held_b = world.arbiter().AccountOf({b, 0})->held;
  double had = Percent(world, {a, b}, 5s)[0];
  if (p.thinks) {
    const Nanos mine = world.arbiter().AccountOf({a, 0})->held - held_a;
    const Nanos theirs = world.arbiter().AccountOf({b, 0})->held - held_b;
    had = 100 * Seconds(mine) / Seconds(mine + theirs);
  }
  const double wanted = 100.0 * p.first / (p.first + p.second);
  Show(p.name + ": error in points", std::abs(had - wanted));
  EXPECT_NEAR(had, wanted, p.points);
  const double busy = Busy(world, {a, b}, 1s);
  Show(p.name + ": card busy, percent", busy);
  EXPECT_GE(busy, p.thinks ? 80 : 99);
}

INSTANTIATE_TEST_SUITE_P(
    Arbiter,
    Split,
    ::testing::Values(
        Pair{"30/70 1 ms", 300, 700, Steady(), Steady()},
        Pair{"10/90 1 ms", 100, 900, Steady(), Steady()},
        Pair{"30/70 10 us", 300, 700, Steady(10us), Steady(10us)},
        Pair{"10/90 10 us", 100, 900, Steady(10us), Steady(10us)},
        Pair{"30/70 10 us beside 50 ms", 300, 700, Steady(10us), Steady(50ms)},
        Pair{"30/70 50 ms beside 10 us", 300, 700, Steady(50ms), Steady(10us)},
        Pair{"10/90 20 ms", 100, 900, Steady(20ms), Steady(20ms)},
        Pair{"50/50 200 ms beside 100 us", 500, 500, Steady(200ms), Steady(100us)},
        Pair{"30/70 200 ms both", 300, 700, Steady(200ms), Steady(200ms), 4},
        Pair{"50/50 graph of 12 ms beside eager 100 us", 500, 500, Steady(12ms), Eager(100us)},
        Pair{"30/70 eager 1 ms both", 300, 700, Eager(1ms), Eager(1ms)},
        Pair{"70/30 eager 500 us thinking 100 us beside steady",
             700,
             300,
             Eager(500us, 100us),
             Steady(),
             3,
             true},
        Pair{"30/70 eager 50 us thinking 50 us beside steady 5 ms",
             300,
             700,
             Eager(50us, 50us),
             Steady(5ms),
             3,
             true}),
    [](const auto& split) { return std::to_string(split.index); });

TEST(Arbiter, GivesFourEqualSharesTheSame) {
  World world;
  std::vector<ShareId> shares;
  for (int i = 0; i < 4; ++i) {
    shares.push_back(world.Add({.guarantee = 250}, i % 2 == 0 ? Steady(300us) : Steady(4ms)));
  }
  world.Run(300ms);
  const double jain = Jain(Percent(world, shares, 5s));
  Show("four equal: Jain", jain);
  EXPECT_GE(jain, 0.99);
}

TEST(Arbiter, LosesNothingAlone) {
  for (const Program& program : {Steady(10us), Steady(5ms), Steady(200ms)}) {
    World world;
    const ShareId alone = world.Add({.guarantee = 300}, program);
    EXPECT_GE(Busy(world, {alone}, 2s), 99);
    EXPECT_EQ(world.Told(alone).mode, GrantMode::kOpen);
  }
  // Beside shares that want nothing, too.
  World world;
  const ShareId busy = world.Add({.guarantee = 300}, Steady(100us));
  world.Add({.guarantee = 700}, {.from = 1000s});
  world.Run(100ms);
  const double used = Busy(world, {busy}, 2s);
  Show("alone beside idle shares: card busy, percent", used);
  EXPECT_GE(used, 99);
  const int64_t looks = world.looks();
  world.Run(5s);
  Show("alone beside idle shares: looks a second", static_cast<double>(world.looks() - looks) / 5);
  EXPECT_LE(world.looks() - looks, 20);
}

TEST(Arbiter, SleepsWhenNobodyWantsACard) {
  World world;
  for (int i = 0; i < 3; ++i) {
    world.Add({.guarantee = 300}, {.launch = 1ms, .to = 2s});
  }
  world.Run(2s);
  const int64_t looks = world.looks();
  world.Run(10s);
  EXPECT_LE(world.looks() - looks, 10);
}

TEST(Arbiter, ConvergesWithinAThirdOfASecond) {
  World world;
  const ShareId first = world.Add({.guarantee = 300}, Steady());
  const ShareId second = world.Add({.guarantee = 700}, {.launch = 1ms, .from = 3s});
  world.Run(2s);
  // A turn is up to 20 ms: windows that are much shorter would show turns.
  world.Run(100ms);
  for (int window = 0; window < 20; ++window) {
    const double had = Percent(world, {first, second}, 200ms)[0];
    Show("step 100 to 30: from " + std::to_string(100 + window * 200) + " ms", had);
    EXPECT_NEAR(had, 30, 5);
  }
  // A change of terms is such a step, too.
  world.SetTerms(first, {.guarantee = 600});
  world.SetTerms(second, {.guarantee = 400});
  world.Run(300ms);
  EXPECT_NEAR(Percent(world, {first, second}, 200ms)[0], 60, 5);
}

TEST(Arbiter, ReturnsLentTimeAtOnce) {
  for (const Nanos launch : {Nanos(100us), Nanos(2ms), Nanos(50ms)}) {
    World world;
    world.Add({.guarantee = 500}, Steady(launch));
    const ShareId owner = world.Add({.guarantee = 500}, {.launch = 1ms, .from = 2013ms});
    world.Run(1013ms);
    ASSERT_EQ(world.Served(owner), 0ns);
    Nanos waited{0};
    while (world.Served(owner) == 0ns && waited < 1s) {
      world.Run(testing::kTick);
      waited += testing::kTick;
    }
    Show("lent to launches of " + std::to_string(launch / 1us) + " us: back after ms",
         Seconds(waited) * 1000);
    EXPECT_LE(waited, launch + 20ms);
  }
}

TEST(Arbiter, ServesBurstsBesideSteadyWork) {
  World world;
  const ShareId steady = world.Add({.guarantee = 500}, Steady());
  const ShareId bursty = world.Add({.guarantee = 500}, {.launch = 1ms, .on = 100ms, .off = 300ms});
  world.Run(400ms);
  const auto had = Percent(world, {steady, bursty}, 4s);
  // Half of the card in a quarter of the time, and what was begun before a rest.
  Show("bursty beside steady: the bursts' percent", had[1]);
  EXPECT_NEAR(had[1], 12.5, 4);
  EXPECT_GE(Busy(world, {steady, bursty}, 4s), 95);
}

TEST(Arbiter, TakesJoinersEveryTenthOfASecond) {
  World world;
  std::vector<ShareId> shares;
  for (int i = 0; i < 10; ++i) {
    shares.push_back(world.Add({.guarantee = 100}, i % 3 == 0 ? Eager(200us) : Steady()));
    world.Run(100ms);
  }
  const double jain = Jain(Percent(world, shares, 5s));
  Show("ten joiners: Jain", jain);
  EXPECT_GE(jain, 0.99);
  for (const ShareId id : shares) {
    world.Remove(id);
    world.Run(100ms);
  }
}

TEST(Arbiter, GoesOnAfterARestartWithoutAJump) {
  World world;
  const ShareId a = world.Add({.guarantee = 300}, Steady());
  const ShareId b = world.Add({.guarantee = 700}, Steady());
  world.Run(1s);
  world.Restart();
  const auto had = Percent(world, {a, b}, 300ms);
  Show("30/70 in the 0.3 s after a restart", had[0]);
  EXPECT_NEAR(had[0], 30, 5);
  EXPECT_GE(Busy(world, {a, b}, 200ms), 95);
}

TEST(Arbiter, KeepsACapAloneAndBesideOthers) {
  for (const Nanos launch : {Nanos(100us), Nanos(5ms), Nanos(60ms)}) {
    World world;
    const ShareId capped = world.Add({.guarantee = 300, .cap = 400}, Steady(launch));
    world.Run(1s);
    const double alone = Busy(world, {capped}, 5s);
    Show("cap of 40 alone, launches of " + std::to_string(launch / 1us) + " us", alone);
    EXPECT_NEAR(alone, 40, 2);
    const ShareId other = world.Add({.guarantee = 300}, Steady());
    world.Run(300ms);
    const auto had = Percent(world, {capped, other}, 5s);
    EXPECT_NEAR(had[0], 40, 2.5);
    EXPECT_GE(Busy(world, {capped, other}, 1s), 95);
  }
}

TEST(Arbiter, GivesBestEffortWhatIsIdle) {
  World world;
  const ShareId best_effort = world.Add({.guarantee = 0}, Steady(500us));
  const ShareId other_one = world.Add({.guarantee = 0}, Steady(500us));
  const ShareId owner =
      world.Add({.guarantee = 100}, {.launch = 1ms, .on = 1s, .off = 1s, .from = 1s});
  world.Run(20ms);
  const auto at_work = Percent(world, {best_effort, other_one, owner}, 960ms);
  EXPECT_GE(at_work[2], 98);
  world.Run(50ms);
  const auto at_rest = Percent(world, {best_effort, other_one, owner}, 900ms);
  EXPECT_NEAR(at_rest[0], 50, 2);
  EXPECT_LE(at_rest[2], 1);
}

TEST(Arbiter, PutsPriorityFirst) {
  World world;
  const ShareId low = world.Add({.guarantee = 900, .priority = 0}, Steady());
  const ShareId high = world.Add({.guarantee = 100, .priority = 5}, Eager(1ms, 10ms));
  world.Run(100ms);
  const Nanos before = world.Done(high);
  world.Run(1100ms);
  // Alone it would do 100 launches in that time; at most the minimal slice and the drain are added.
  Show("priority: launches of 100", Seconds(world.Done(high) - before) * 1000);
  EXPECT_GE(world.Done(high) - before, 65ms);
  world.Spawn(high, Steady());
  world.Run(50ms);
  EXPECT_LE(Percent(world, {low, high}, 1s)[0], 1);
}

TEST(Arbiter, GivesSeveralCardsTogether) {
  World world;
  const ShareId gang = world.Add({.guarantee = 500}, {.launch = 2ms, .collective = true}, {0, 1});
  const ShareId rival = world.Add({.guarantee = 250}, {.launch = 2ms, .collective = true}, {1, 0});
  const ShareId single = world.Add({.guarantee = 250}, Steady(), {0});
  world.Run(500ms);
  const Nanos gang_before = world.Done(gang, 0);
  const Nanos rival_before = world.Done(rival, 0);
  const auto had = Percent(world, {gang, rival, single}, 5s);
  for (size_t i = 0; i < 3; ++i) {
    Show("gangs of 50, 25 beside a single of 25: percent of share " + std::to_string(i), had[i]);
  }
  EXPECT_NEAR(had[0], 50, 8);
  EXPECT_NEAR(had[1], 25, 8);
  EXPECT_NEAR(had[2], 25, 8);
  // What they had they could use: nobody spins for a peer that does not come.
  EXPECT_GE(Seconds(world.Done(gang, 0) - gang_before), 0.9 * 5 * had[0] / 100 * 0.9);
  EXPECT_GE(Seconds(world.Done(rival, 0) - rival_before), 0.9 * 5 * had[1] / 100 * 0.9);
  EXPECT_GE(Busy(world, {gang, rival, single}, 1s), 80);
}

TEST(Arbiter, KeepsGangsMovingInARing) {
  World world;
  std::vector<ShareId> gangs;
  for (const auto& cards : std::vector<std::vector<int>>{{0, 1}, {1, 2}, {2, 0}}) {
    gangs.push_back(world.Add({.guarantee = 300}, {.launch = 1ms, .collective = true}, cards));
  }
  const ShareId single = world.Add({.guarantee = 100}, Steady(), {1});
  world.Run(500ms);
  std::vector<Nanos> before;
  for (size_t i = 0; i < gangs.size(); ++i) {
    before.push_back(world.Done(gangs[i], static_cast<int>(i)));
  }
  const Nanos single_before = world.Served(single, 1);
  world.Run(5s);
  for (size_t i = 0; i < gangs.size(); ++i) {
    const double done = Seconds(world.Done(gangs[i], static_cast<int>(i)) - before[i]);
    Show("ring of gangs: seconds of 5 for " + std::to_string(i), done);
    EXPECT_GE(done, 1.0);
  }
  EXPECT_GE(world.Served(single, 1) - single_before, 300ms);
}

TEST(Arbiter, LetsAShareUseOneOfItsCardsWithoutKeepingTheOther) {
  World world;
  const ShareId wide = world.Add({.guarantee = 500}, Steady(), {0, 1});
  world.Remove(wide);
  const ShareId half = world.Add({.guarantee = 500}, {.from = 1000s}, {0, 1});
  world.Spawn(half, Steady(), {0});
  const ShareId other = world.Add({.guarantee = 500}, Steady(), {1});
  world.Run(1s);
  EXPECT_GE(Busy(world, {half}, 1s), 98);
  const Nanos before = world.Served(other, 1);
  world.Run(1s);
  EXPECT_GE(world.Served(other, 1) - before, 980ms);
}

TEST(Arbiter, LetsALiarHurtOnlyItself) {
  Program never_drains = Steady();
  never_drains.never_drains = true;
  Program never_launches = Steady();
  never_launches.never_launches = true;
  for (const Program& liar : {never_drains, never_launches}) {
    World world;
    const ShareId honest = world.Add({.guarantee = 500}, Steady());
    const ShareId other = world.Add({.guarantee = 500}, Eager(300us));
    const ShareId bad = world.Add({.guarantee = 500}, liar);
    world.Run(500ms);
    const Nanos before = world.Served(honest) + world.Served(other);
    const auto had = Percent(world, {honest, other, bad}, 5s);
    const double left = Seconds(world.Served(honest) + world.Served(other) - before) * 20;
    Show("beside a liar the honest have percent of the card", left);
    EXPECT_GE(left, 64);
    EXPECT_NEAR(had[0], had[1], 5);
    EXPECT_LE(had[2], 34);
  }
}

// What a share whose threads often pause gets done in 5 s, in percent of what it does alone.
double LeftBesideAnother(World& world, ShareId owner) {
  world.Run(500ms);
  const Nanos before = world.Done(owner);
  world.Run(5s);
  return 100 * Seconds(world.Done(owner) - before) * 11 / 5;
}

TEST(Arbiter, KeepsAGuaranteeBesideBestEffortThatDoesNotDrain) {
  Program never_drains = Steady();
  never_drains.never_drains = true;
  // The second says that its launches are long, and lets go just in time.
  for (const Program& other : {never_drains, Steady(300ms)}) {
    for (const bool best_effort : {true, false}) {
      World world;
      world.Add({.guarantee = best_effort ? 0U : 500U}, other);
      const ShareId owner =
          world.Add({.guarantee = 500, .priority = best_effort ? 0 : 1}, Eager(1ms, 10ms));
      const double left = LeftBesideAnother(world, owner);
      Show("beside work of a lower class that does not let go, percent", left);
      EXPECT_GE(left, 80);
    }
  }
}

TEST(Arbiter, ServesBestEffortAgainWhenWhomItHeldUpIsGone) {
  World world;
  const ShareId late = world.Add({.guarantee = 0, .cap = 900}, Steady(900ms));
  const ShareId owner = world.Add({.guarantee = 500}, Eager(1ms, 10ms));
  world.Run(3s);
  const Nanos before = world.Served(late);
  EXPECT_LE(before, 2s);
  world.Remove(owner);
  world.Run(5s);
  EXPECT_GE(world.Served(late) - before, 3s);
}

TEST(Arbiter, CountsForACapOnlyWhatWasUsedSinceThereIsOne) {
  World world;
  const ShareId share = world.Add({.guarantee = 500}, Steady());
  const ShareId other = world.Add({.guarantee = 500}, {.launch = 1ms, .to = 6s});
  world.Run(5s);
  world.SetTerms(share, {.guarantee = 500, .cap = 400});
  world.SetTerms(other, {.guarantee = 500});
  world.Run(1s);
  const double had = Busy(world, {share}, 2s);
  Show("a cap of 40 that was set while it ran", had);
  EXPECT_NEAR(had, 40, 3);
}

TEST(Arbiter, LendsTheTurnsOfAProgramThatWasStopped) {
  World world;
  const ShareId stopped = world.Add({.guarantee = 500}, {.launch = 1ms, .stops = 2s});
  const ShareId other = world.Add({.guarantee = 500}, Steady());
  world.Run(2s);
  const Nanos before = world.Served(stopped);
  const double left = Busy(world, {other}, 5s);
  Show("beside a stopped program: percent of the card", left);
  EXPECT_GE(left, 95);
  EXPECT_EQ(world.Served(stopped), before);
}

TEST(Arbiter, ChargesForWorkThatOutlivesItsTurn) {
  // The meter knows nothing of these launches until they are done, and they take a second and more.
  World world;
  const ShareId endless = world.Add({.guarantee = 500}, {.launch = 1500ms, .to = 2s});
  const ShareId honest = world.Add({.guarantee = 500}, Steady());
  world.Run(1s);
  // It is past its bound: the others run beside it, at the driver's time slices.
  const Nanos before = world.Served(honest);
  world.Run(5s);
  EXPECT_GE(world.Served(honest) - before, 3s);
  EXPECT_LE(world.Served(endless), 3s);
}

TEST(Arbiter, ChargesWhatTheDriverSawBeyondTheAccount) {
  Arbiter arbiter({});
  arbiter.Join(1, {.cards = {{.card = 0, .guarantee_millis = 500}}}, 0ns);
  arbiter.Join(2, {.cards = {{.card = 0, .guarantee_millis = 500}}}, 0ns);
  arbiter.Step(0ns);
  arbiter.Observe({1, 0}, {}, 0ns);
  arbiter.Observe({2, 0}, {}, 0ns);
  EXPECT_EQ(arbiter.Correct({1, 0}, 600ms, 1s, 1s), 0ns);
  EXPECT_EQ(arbiter.AccountOf({1, 0})->held, 0ns) << "once may be the samples' lag";
  EXPECT_EQ(arbiter.Correct({1, 0}, 600ms, 1s, 2s), 500ms);
  EXPECT_EQ(arbiter.AccountOf({1, 0})->held, 500ms);
  arbiter.Correct({2, 0}, 50ms, 1s, 1s);
  arbiter.Correct({2, 0}, 50ms, 1s, 2s);
  EXPECT_EQ(arbiter.AccountOf({2, 0})->held, 0ns);
}

TEST(Arbiter, ChargesNothingForWhatTheDriverSawThroughAnOpenGate) {
  Arbiter arbiter({});
  const ShareTerms terms = {.cards = {{.card = 0, .guarantee_millis = 500}}};
  arbiter.Join(1, terms, 0ns);
  arbiter.Step(0ns);
  arbiter.Observe({1, 0}, {}, 0ns);
  EXPECT_EQ(arbiter.Correct({1, 0}, 900ms, 1s, 1s), 0ns);
  // The gate closes in the middle of the second window; in the third the samples may lag.
  arbiter.Join(2, terms, 1500ms);
  arbiter.Step(1500ms);
  arbiter.Observe({1, 0}, {}, 1500ms);
  EXPECT_NE(arbiter.AccountOf({1, 0})->mode, GrantMode::kOpen);
  EXPECT_EQ(arbiter.Correct({1, 0}, 900ms, 1s, 2s), 0ns);
  EXPECT_EQ(arbiter.Correct({1, 0}, 900ms, 1s, 3s), 0ns);
  EXPECT_EQ(arbiter.Correct({1, 0}, 900ms, 1s, 4s), 800ms) << "what goes on is no lag";
  // Open and closed again within one window.
  arbiter.Leave(2, 4100ms);
  arbiter.Step(4100ms);
  EXPECT_EQ(arbiter.AccountOf({1, 0})->mode, GrantMode::kOpen);
  arbiter.Join(2, terms, 4200ms);
  arbiter.Step(4200ms);
  arbiter.Observe({1, 0}, {}, 4200ms);
  EXPECT_EQ(arbiter.Correct({1, 0}, 900ms, 1s, 5s), 0ns);
  EXPECT_EQ(arbiter.Correct({1, 0}, 900ms, 1s, 6s), 0ns);
}

TEST(Arbiter, TellsTheNextOneALittleBeforeTheCardShouldBeFree) {
  const ArbiterOptions options;
  Arbiter arbiter(options);
  const ShareTerms terms = {.cards = {{.card = 0, .guarantee_millis = 500}}};
  Nanos now{0};
  arbiter.Join(1, terms, now);
  arbiter.Join(2, terms, now);
  const auto step = [&](bool first_drained) {
    const GrantMode first = arbiter.AccountOf({1, 0})->mode;
    const bool waits = first == GrantMode::kWait;
    arbiter.Observe({1, 0},
                    {.waiting = waits,
                     .busy = !first_drained,
                     .in_flight = first_drained ? 0ns : 2ms,
                     .launch = 1ms,
                     .submitted_ns = 5'000'000,
                     .finished_ns = 3'000'000},
                    now);
    arbiter.Observe({2, 0}, {.waiting = arbiter.AccountOf({2, 0})->mode == GrantMode::kWait}, now);
    arbiter.Step(now);
  };
  const auto mode = [&](ShareId share) { return arbiter.AccountOf({share, 0})->mode; };
  step(true);
  step(false);
  ASSERT_EQ(mode(1), GrantMode::kRun);
  for (; mode(1) == GrantMode::kRun; now += 100us) step(false);
  const Nanos told = now - 100us;
  for (; now < told + 2ms - options.lead; now += 100us) {
    step(false);
    EXPECT_EQ(mode(2), GrantMode::kWait) << (now - told).count();
  }
  step(false);
  EXPECT_EQ(mode(2), GrantMode::kRun);
  // It is charged until it has drained, whatever it said of that.
  const Nanos held = arbiter.AccountOf({1, 0})->held;
  now += 1ms;
  step(false);
  EXPECT_EQ(arbiter.AccountOf({1, 0})->held, held + 1ms);
  step(true);
  now += 1ms;
  step(true);
  EXPECT_EQ(arbiter.AccountOf({1, 0})->held, held + 1ms);
}

TEST(Arbiter, OpensEveryGateWhereSomethingElseDividesTheCard) {
  World world({.open = true});
  const ShareId a = world.Add({.guarantee = 300, .cap = 300}, Steady());
  const ShareId b = world.Add({.guarantee = 700}, Steady());
  world.Run(100ms);
  EXPECT_EQ(world.Told(a).mode, GrantMode::kOpen);
  EXPECT_EQ(world.Told(b).mode, GrantMode::kOpen);
}

TEST(Arbiter, CountsWhatWasHeldAndWaitedFor) {
  World world;
  const ShareId a = world.Add({.guarantee = 500}, Steady());
  const ShareId b = world.Add({.guarantee = 500}, Steady());
  world.Run(300ms);
  const SeatAccount before = *world.arbiter().AccountOf({a, 0});
  const Nanos served = world.Served(a);
  world.Run(2s);
  const SeatAccount after = *world.arbiter().AccountOf({a, 0});
  EXPECT_NEAR(Seconds(after.held - before.held), Seconds(world.Served(a) - served), 0.05);
  EXPECT_NEAR(Seconds(after.waiting - before.waiting), 1, 0.15);
  EXPECT_FALSE(world.arbiter().AccountOf({b, 7}));
}

}  // namespace
}  // namespace sluice::agent
