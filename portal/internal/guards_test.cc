// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <set>

#include "base/clock.h"
#include "portal/internal/lockout.h"
#include "portal/internal/problem.h"
#include "portal/internal/rate_limit.h"
#include "portal/internal/secrets.h"
#include "portal/internal/tickets.h"

namespace sluice::portal {
namespace {

constexpr PasswordCost kCheap{.passes = 1, .memory_bytes = 8192};

TEST(Password, IsVerifiedAgainstItsHashOnly) {
  const auto hash = HashPassword("secret", kCheap);
  ASSERT_TRUE(hash);
  EXPECT_TRUE(hash->starts_with("$argon2id$"));
  EXPECT_TRUE(VerifyPassword(*hash, "secret"));
  EXPECT_FALSE(VerifyPassword(*hash, "Secret"));
  EXPECT_FALSE(VerifyPassword("", ""));
  EXPECT_FALSE(VerifyPassword("garbage", "secret"));
}

TEST(Seal, OpensWithTheSameSecretOnly) {
  SystemRandom random;
  const std::string sealed = Seal("one-time password", "key 1", random);
  EXPECT_EQ(sealed.find("password"), std::string::npos);
  EXPECT_EQ(Unseal(sealed, "key 1"), "one-time password");
  EXPECT_EQ(Unseal(sealed, "key 2"), std::nullopt);
  EXPECT_EQ(Unseal(sealed.substr(0, 20), "key 1"), std::nullopt);
  EXPECT_EQ(Unseal("", "key 1"), std::nullopt);
}

TEST(OneTimePassword, HasNoLettersThatLookAlike) {
  SystemRandom random;
  const std::string password = OneTimePassword(random);
  EXPECT_EQ(password.size(), 19U);
  EXPECT_EQ(password.find_first_of("il1o0"), std::string::npos);
  EXPECT_NE(password, OneTimePassword(random));
}

TEST(Lockout, LocksAnAccountFromOneSourceAfterFiveFailures) {
  Lockout lockout;
  const Duration now{1'000};
  for (int i = 0; i < 4; ++i) lockout.Failed("lina", "10.0.0.1", now);
  EXPECT_EQ(lockout.LockedFor("lina", "10.0.0.1", now), Duration(0));
  lockout.Failed("lina", "10.0.0.1", now);
  EXPECT_EQ(lockout.LockedFor("lina", "10.0.0.1", now), Duration(30'000));
  EXPECT_EQ(lockout.LockedFor("lina", "10.0.0.2", now), Duration(0));
  EXPECT_LE(lockout.LockedFor("lina", "10.0.0.1", now + Duration(30'000)), Duration(0));
}

TEST(Lockout, LocksTwiceAsLongEachTimeUpToALimit) {
  Lockout lockout;
  Duration now{1'000};
  Duration before{0};
  for (int i = 0; i < 5; ++i) lockout.Failed("lina", "s", now);
  for (int i = 0; i < 10; ++i) {
    const Duration locked = lockout.LockedFor("lina", "s", now);
    EXPECT_GE(locked, before);
    EXPECT_LE(locked, Duration(15 * 60'000));
    before = locked;
    lockout.Failed("lina", "s", now);
  }
  EXPECT_EQ(before, Duration(15 * 60'000));
}

TEST(Lockout, LocksASourceThatTriesManyNames) {
  Lockout lockout;
  const Duration now{1'000};
  for (int i = 0; i < 20; ++i) lockout.Failed("name" + std::to_string(i), "10.0.0.1", now);
  EXPECT_GT(lockout.LockedFor("fresh", "10.0.0.1", now), Duration(0));
  EXPECT_EQ(lockout.LockedFor("fresh", "10.0.0.2", now), Duration(0));
}

TEST(Lockout, LocksAnAccountThatManySourcesTry) {
  Lockout lockout;
  const Duration now{1'000};
  for (int i = 0; i < 100; ++i) lockout.Failed("admin", "10.0.0." + std::to_string(i), now);
  EXPECT_GT(lockout.LockedFor("admin", "192.0.2.1", now), Duration(0));
}

TEST(Lockout, ForgivesAfterACorrectPassword) {
  Lockout lockout;
  const Duration now{1'000};
  for (int i = 0; i < 4; ++i) lockout.Failed("lina", "s", now);
  lockout.Succeeded("lina", "s");
  for (int i = 0; i < 4; ++i) lockout.Failed("lina", "s", now);
  EXPECT_EQ(lockout.LockedFor("lina", "s", now), Duration(0));
}

TEST(RateLimit, LetsABurstThroughThenTheRate) {
  RateLimit limit;
  const Rate rate{.per_minute = 60, .burst = 3};
  const Duration now{5'000};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limit.Take("k", rate, now), Duration(0));
  EXPECT_EQ(limit.Take("k", rate, now), Duration(1'000));
  EXPECT_EQ(limit.Take("other", rate, now), Duration(0));
  EXPECT_EQ(limit.Take("k", rate, now + Duration(1'000)), Duration(0));
  EXPECT_GT(limit.Take("k", rate, now + Duration(1'000)), Duration(0));
}

TEST(Tickets, WorkOnceAndForThirtySeconds) {
  Tickets tickets;
  SystemRandom random;
  const Grant grant{.user = UserId("usr_1"), .session = "s", .desktop = DesktopId("dsk_1")};
  const auto first = tickets.Issue(grant, random, Duration(0));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->size(), 43U);
  EXPECT_TRUE(tickets.Redeem(*first, Duration(29'999)));
  EXPECT_FALSE(tickets.Redeem(*first, Duration(29'999)));
  const auto second = tickets.Issue(grant, random, Duration(0));
  EXPECT_FALSE(tickets.Redeem(*second, Tickets::kTicketLife));
  EXPECT_FALSE(tickets.Redeem("", Duration(0)));
}

TEST(Tickets, EndWithTheirSession) {
  Tickets tickets;
  SystemRandom random;
  const auto ticket = tickets.Issue({.session = "gone"}, random, Duration(0));
  tickets.Revoke("gone");
  EXPECT_FALSE(tickets.Redeem(*ticket, Duration(1)));
}

TEST(ProblemTable, HasOneRowForEachCodeWithItsOwnName) {
  std::set<std::string_view> names;
  for (const ProblemRow& row : ProblemTable()) {
    EXPECT_EQ(RowOf(row.code).name, row.name);
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_GE(row.status, 400);
    EXPECT_FALSE(row.title.empty());
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(ProblemCode::kUnavailable) + 1);
}

TEST(Problem, KeepsInternalMessagesToTheLog) {
  EXPECT_EQ(FromError({Code::kDataLoss, "row 5 of /var/lib/sluice", ""}).detail.find("/var"),
            std::string::npos);
  EXPECT_EQ(FromError({Code::kNotFound, "no desktop dsk_1", ""}).detail, "no desktop dsk_1");
}

}  // namespace
}  // namespace sluice::portal
