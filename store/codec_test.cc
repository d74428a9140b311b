// SPDX-License-Identifier: Apache-2.0
#include "store/codec.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <utility>

#include "store/memory.h"

namespace sluice::store {
namespace {

// Counts the members of an aggregate: the most values that its braces take.
struct Anything {
  template <typename T>
  operator T() const;  // Never called, only asked for. NOLINT(google-explicit-constructor)
};
template <typename T, typename... Values>
constexpr size_t MemberCount() {
  if constexpr (requires { T{Values{}..., Anything{}}; }) {
    return MemberCount<T, Values..., Anything>();
  } else {
    return sizeof...(Values);
  }
}

TimePoint At(int64_t ms) {
  return TimePoint(Duration(ms));
}

// Every member differs from its default, so that a forgotten one shows.
Gpu SomeGpu() {
  return {.id = GpuId("GPU-1"),
          .node = NodeId("node-1"),
          .pool = PoolId("shared"),
          .index = 3,
          .vendor = "nvidia",
          .model = "Sluice simulated GPU",
          .simulated = true,
          .driver_version = "550.1",
          .memory = 24_GiB,
          .compute = ComputeMillis(900),
          .numa_node = 1,
          .mode = GpuMode::kCordoned,
          .health = GpuHealth::kUnhealthy,
          .health_reason = "too hot",
          .last_seen = At(5),
          .shares = {{ClaimId("clm_1"), 8_GiB, ComputeMillis(100), ComputeMillis(200)}}};
}

ClaimRequest SomeRequest() {
  return {.count = 2,
          .memory = 8_GiB,
          .guarantee = ComputeMillis(250),
          .cap = ComputeMillis(500),
          .whole = true,
          .vendor = "nvidia",
          .gpu_model = "NVIDIA A10",
          .only = {GpuId("GPU-1"), GpuId("GPU-2")},
          .priority = -7};
}

Claim SomeClaim() {
  return {.id = ClaimId("clm_1"),
          .owner_kind = ClaimOwner::kRun,
          .desktop = DesktopId("dsk_1"),
          .run_pid = 4'000'000'000,
          .run_pid_start = 77,
          .run_command = "python train.py",
          .user = UserId("usr_1"),
          .team = TeamId("tem_1"),
          .template_id = TemplateId("pytorch"),
          .run_for = Duration(9),
          .request = SomeRequest(),
          .more = {SomeRequest()},
          .phase = ClaimPhase::kCommitted,
          .reason = "In use.",
          .allocations = {{GpuId("GPU-1"), 8_GiB, ComputeMillis(1), ComputeMillis(2)}},
          .created_at = At(1),
          .queued_since = At(2),
          .held_since = At(5),
          .reserved_until = At(3),
          .ends_at = At(4),
          .notice_until = At(6),
          .yields_to = ClaimId("clm_2"),
          .moves_to = {{GpuId("GPU-2"), 8_GiB, ComputeMillis(1), ComputeMillis(2)}},
          .plan = At(7),
          .moved_from = {{GpuId("GPU-3"), 8_GiB, ComputeMillis(1), ComputeMillis(2)}}};
}

Desktop SomeDesktop() {
  return {.id = DesktopId("dsk_1"),
          .name = "训练 \"one\"",
          .owner = UserId("usr_1"),
          .template_id = TemplateId("pytorch"),
          .kind = DesktopKind::kVm,
          .request = SomeRequest(),
          .claim = ClaimId("clm_1"),
          .desired = DesiredState::kDeleted,
          .state = DesktopState::kStarting,
          .reason = "Starting the display.",
          .keep_home = false,
          .idle = {Duration(1), Duration(2), false},
          .run_for = Duration(3),
          .keyboard_layout = "de",
          .restart_generation = 4,
          .restarted_generation = 5,
          .created_at = At(6),
          .state_since = At(7),
          .ready_at = At(8),
          .last_input_at = At(9),
          .stages = {{LaunchStage::kFirstFrame, At(10), At(11)}},
          .message = "back at noon",
          .message_from = MessageSender::kSystem,
          .limits_in_force = "cgroup v2"};
}

User SomeUser() {
  return {.id = UserId("usr_1"),
          .name = "li.na",
          .display_name = "李娜",
          .role = Role::kOperator,
          .disabled = true,
          .password_hash = "$argon2id$x",
          .must_change_password = true,
          .quota = {3, 24_GiB},
          .team = TeamId("tem_1"),
          .created_at = At(1),
          .last_sign_in_at = At(2)};
}

Pool SomePool() {
  Pool pool{PoolId("shared"), "Shared cards", 1_GiB, 512_MiB, Duration(9)};
  pool.bypass_rule = BypassRule::kThrottle;
  pool.bypass_slack = 3_MiB;
  pool.strict_priority = true;
  pool.placement = PlacementPolicy::kSluice;
  pool.compute_overcommit_percent = 150;
  pool.floor_cards = 2;
  pool.ceiling_cards = 3;
  pool.preempt = PreemptRule::kBorrowed;
  pool.preempt_notice = Duration(7);
  return pool;
}

// Encode is a bijection on what it writes: reading and writing again gives the same text.
template <typename T>
void ExpectRoundTrip(const T& value) {
  const std::string text = Encode(value);
  const auto back = Decode<T>(text);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(Encode(*back), text);
  EXPECT_NE(text, Encode(T{}));
}

template <typename T>
void ExpectEveryMemberWritten(const T& value) {
  EXPECT_EQ(nlohmann::json::parse(Encode(value)).size(), MemberCount<T>());
}

// Every value that differs from the default must come back different from the default too.
template <typename T>
void ExpectEveryMemberRead(const T& value) {
  const auto written = nlohmann::json::parse(Encode(value));
  const auto defaults = nlohmann::json::parse(Encode(T{}));
  for (const auto& [name, member] : written.items()) {
    EXPECT_NE(member, defaults[name]) << "the sample leaves " << name << " at its default";
    const auto alone = Decode<T>(nlohmann::json{{name, member}}.dump());
    ASSERT_TRUE(alone) << alone.error().message;
    EXPECT_EQ(nlohmann::json::parse(Encode(*alone))[name], member) << name;
  }
}

template <typename T>
void ExpectWrongMemberNamed(const T& value) {
  const auto written = nlohmann::json::parse(Encode(value));
  for (const auto& [name, member] : written.items()) {
    nlohmann::json broken = written;
    broken[name] = member.is_object() ? nlohmann::json(1) : nlohmann::json::object();
    const auto decoded = Decode<T>(broken.dump());
    ASSERT_FALSE(decoded) << name;
    EXPECT_EQ(decoded.error().code, Code::kDataLoss);
    EXPECT_NE(decoded.error().message.find("member " + name + " "), std::string::npos)
        << decoded.error().message;
  }
}

template <typename T>
void ExpectSound(const T& value) {
  ExpectRoundTrip(value);
  ExpectEveryMemberWritten(value);
  ExpectEveryMemberRead(value);
  ExpectWrongMemberNamed(value);
}

TEST(Codec, KeepsEveryMemberOfAGpu) {
  ExpectSound(SomeGpu());
}
// Rows of before shares said whether they are whole cards, and pools had no bounds.
TEST(Codec, ReadsRowsOfBeforeFloorsAndCeilings) {
  const auto gpu =
      Decode<Gpu>(R"({"id": "GPU-1", "memory": 24, "shares": [{"claim": "a", "memory": 24}]})");
  ASSERT_TRUE(gpu) << gpu.error().message;
  EXPECT_TRUE(IsHeldWhole(*gpu));
  const auto shared = Decode<Gpu>(
      R"({"id": "GPU-1", "memory": 24, "shares": [{"claim": "a", "memory": 8}, {"claim": "b", "memory": 9}]})");
  ASSERT_TRUE(shared) << shared.error().message;
  EXPECT_FALSE(IsHeldWhole(*shared));
  EXPECT_TRUE(CarriesShares(*shared));
  const auto told = Decode<Gpu>(
      R"({"id": "GPU-1", "memory": 24, "shares": [{"claim": "a", "memory": 24, "whole": false}]})");
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_FALSE(IsHeldWhole(*told)) << "a share of all the memory is a share";
  const auto pool = Decode<Pool>(R"({"id": "shared", "preempt": "borrowed"})");
  ASSERT_TRUE(pool) << pool.error().message;
  EXPECT_EQ(pool->floor_cards, 0);
  EXPECT_EQ(pool->ceiling_cards, 0);
}

TEST(Codec, KeepsEveryMemberOfAClaim) {
  ExpectSound(SomeClaim());
}
TEST(Codec, KeepsEveryMemberOfADesktop) {
  ExpectSound(SomeDesktop());
}
TEST(Codec, KeepsEveryMemberOfAPool) {
  ExpectSound(SomePool());
}
TEST(Codec, KeepsEveryMemberOfAUser) {
  ExpectSound(SomeUser());
}
TEST(Codec, KeepsEveryMemberOfATeam) {
  ExpectSound(Team{.id = TeamId("tem_1"),
                   .name = "感知",
                   .memory_guaranteed = 24_GiB,
                   .memory_max = 48_GiB,
                   .created_at = At(1)});
}
TEST(Codec, KeepsEveryMemberOfAPastClaim) {
  PastClaim past = ToPast(SomeClaim(), At(9), "Given back.");
  past.idle_for = Duration(7);
  past.gave_way = true;
  ExpectSound(past);
}
TEST(Codec, KeepsEveryMemberOfAReservation) {
  ExpectSound(Reservation{.id = ReservationId("rsv_1"),
                          .name = "课程",
                          .team = TeamId("tem_1"),
                          .pool = PoolId("shared"),
                          .gpu_model = "NVIDIA A10",
                          .count = 3,
                          .memory = 8_GiB,
                          .starts_at = At(1),
                          .ends_at = At(2),
                          .created_at = At(3),
                          .removed_at = At(4)});
}
TEST(Codec, KeepsEveryMemberOfATemplate) {
  Template value = BuiltInTemplates().front();
  value.default_idle_stop = Duration(1);
  ExpectSound(value);
}

TEST(Codec, KeepsEveryMemberOfWhatIsNested) {
  const auto claim = Decode<Claim>(Encode(SomeClaim()));
  EXPECT_EQ(claim->request, SomeRequest());
  EXPECT_EQ(claim->allocations, SomeClaim().allocations);
  EXPECT_EQ(Decode<Gpu>(Encode(SomeGpu()))->shares, SomeGpu().shares);
  EXPECT_EQ(Decode<Desktop>(Encode(SomeDesktop()))->stages, SomeDesktop().stages);
  EXPECT_EQ(Decode<Desktop>(Encode(SomeDesktop()))->idle, SomeDesktop().idle);
  EXPECT_EQ(Decode<User>(Encode(SomeUser()))->quota, SomeUser().quota);
}

TEST(Codec, TakesDefaultsForAbsentAndIgnoresUnknownMembers) {
  const auto pool = Decode<Pool>(R"({"id":"p","from_the_future":{"a":[1]}})");
  ASSERT_TRUE(pool);
  EXPECT_EQ(pool->id, PoolId("p"));
  EXPECT_EQ(pool->share_memory_min, Pool().share_memory_min);
}

TEST(Codec, ReadsAPastClaimOfBeforeItHadPartsAndAnEnd) {
  const auto past = Decode<PastClaim>(
      R"({"id":"clm_1","owner_kind":"desktop","request":{"count":1},"queued_since":5})");
  ASSERT_TRUE(past);
  EXPECT_EQ(past->run_for, Duration(0));
  EXPECT_EQ(past->desktop, DesktopId());
  EXPECT_FALSE(past->gave_way);
  EXPECT_TRUE(past->more.empty());
}

TEST(Codec, TakesAMessageOfUnknownSenderForAnOperators) {
  const auto desktop = Decode<Desktop>(R"({"id":"dsk_1","message":"Back at noon."})");
  ASSERT_TRUE(desktop);
  EXPECT_EQ(desktop->message_from, MessageSender::kOperator);
}

TEST(Codec, NamesTheWrongMemberByItsPath) {
  const auto decoded =
      Decode<Claim>(R"({"id":"clm_9","allocations":[{"gpu":"g"},{"memory":"much"}]})");
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().message,
            "stored claim clm_9 cannot be read: member allocations.1.memory is wrong");
}

TEST(Codec, RefusesWhatIsNoObjectOrOutOfRange) {
  for (const char* text : {"",
                           "{",
                           "[]",
                           "null",
                           "\xFF",
                           R"({"index":3000000000})",
                           R"({"memory":18446744073709551615})",
                           R"({"memory":1.5})",
                           R"({"mode":"unknown"})",
                           R"({"simulated":1})"}) {
    const auto decoded = Decode<Gpu>(text);
    ASSERT_FALSE(decoded) << text;
    EXPECT_EQ(decoded.error().code, Code::kDataLoss) << text;
  }
}

TEST(Codec, SurvivesDeepNesting) {
  const std::string deep = R"({"x":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_TRUE(Decode<Pool>(deep));
}

TEST(Codec, StoresTextThatIsNotUtf8) {
  Claim claim = SomeClaim();
  claim.run_command = "cat \xFF";
  EXPECT_EQ(Decode<Claim>(Encode(claim))->run_command, "cat \xEF\xBF\xBD");
}

TEST(Read, ReturnsTheValueWithItsVersion) {
  const auto store = OpenMemory();
  const Write write = Put(SomePool(), 0);
  const auto version = store->Commit({&write, 1});
  ASSERT_TRUE(version);
  const auto read = Read<Pool>(*store, "shared");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->value.name, "Shared cards");
  EXPECT_EQ(read->version, *version);
  EXPECT_EQ(ReadAll<Pool>(*store)->size(), 1u);
  EXPECT_EQ(Read<Pool>(*store, "other").error().code, Code::kNotFound);
}

}  // namespace
}  // namespace sluice::store
