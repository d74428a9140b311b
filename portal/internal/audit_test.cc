// SPDX-License-Identifier: Apache-2.0
#include "portal/audit.h"

#include <gtest/gtest.h>

#include "portal/internal/audit_view.h"
#include "store/memory.h"

namespace sluice::portal {
namespace {

class Audit : public ::testing::Test {
 protected:
  void Append(const std::string& detail) {
    log_->Append({"lina", "203.0.113.9", "req_1"}, {"desktop.create", "dsk_1", "ok", detail});
  }
  // Changes a stored row behind the log's back.
  void Forge(uint64_t seq, const std::function<void(AuditRow&)>& change) {
    AuditRow row = log_->Read(seq, seq)->front();
    change(row);
    const store::Write write{store::Kind::kAudit, Id(seq), std::nullopt, EncodeAuditRow(row)};
    ASSERT_TRUE(store_->Commit({&write, 1}));
  }
  static std::string Id(uint64_t seq) {
    std::string digits = std::to_string(seq);
    return std::string(20 - digits.size(), '0') + digits;
  }

  std::unique_ptr<store::Store> store_ = store::OpenMemory();
  ManualClock clock_;
  std::unique_ptr<AuditLog> log_ = *AuditLog::Create(*store_, clock_);
};

TEST_F(Audit, ChainsRowsInOrder) {
  for (const char* detail : {"one", "two", "three"}) Append(detail);
  const auto rows = log_->Read(1, 3);
  ASSERT_TRUE(rows);
  ASSERT_EQ(rows->size(), 3U);
  EXPECT_EQ((*rows)[1].seq, 2U);
  EXPECT_EQ((*rows)[1].detail, "two");
  EXPECT_EQ((*rows)[1].hash.size(), 64U);
  const auto verdict = log_->Check();
  EXPECT_TRUE(verdict->ok);
  EXPECT_EQ(verdict->checked, 3U);
  EXPECT_EQ(verdict->head_hash, (*rows)[2].hash);
}

TEST_F(Audit, GoesOnWhereTheLastProcessStopped) {
  Append("before");
  log_ = *AuditLog::Create(*store_, clock_);
  Append("after");
  EXPECT_TRUE(log_->Check()->ok);
  EXPECT_EQ(log_->head_seq(), 2U);
}

TEST_F(Audit, SeesAChangedRow) {
  for (int i = 0; i < 4; ++i) Append("row");
  Forge(2, [](AuditRow& row) { row.actor = "somebody else"; });
  const auto verdict = log_->Check();
  EXPECT_FALSE(verdict->ok);
  EXPECT_EQ(verdict->first_bad_seq, 2U);
  EXPECT_EQ(verdict->checked, 1U);
}

TEST_F(Audit, SeesARemovedRowAndACutTail) {
  for (int i = 0; i < 4; ++i) Append("row");
  const store::Write tail{store::Kind::kAudit, Id(4), std::nullopt, std::nullopt};
  ASSERT_TRUE(store_->Commit({&tail, 1}));
  EXPECT_EQ(log_->Check()->first_bad_seq, 4U);
  const store::Write middle{store::Kind::kAudit, Id(2), std::nullopt, std::nullopt};
  ASSERT_TRUE(store_->Commit({&middle, 1}));
  EXPECT_EQ(log_->Check()->first_bad_seq, 2U);
}

TEST_F(Audit, WritesNoRowWhenTheChangeFails) {
  const store::Write impossible{store::Kind::kSetting, "x", 77, "{}"};
  const auto done = log_->Commit({impossible}, {{"lina", "s", "r"}, {"a", "b", "ok", ""}, ""});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kAborted);
  EXPECT_EQ(log_->head_seq(), 0U);
  Append("next");
  EXPECT_TRUE(log_->Check()->ok);
}

TEST_F(Audit, StaysWholeWithTextThatIsNotUtf8) {
  Append("bad \xFF bytes");
  EXPECT_TRUE(log_->Check()->ok);
}

TEST_F(Audit, FindsAnEmptyLogWhole) {
  EXPECT_TRUE(log_->Check()->ok);
  EXPECT_TRUE(log_->Read(1, 10)->empty());
}

TEST(AuditCsv, DisarmsFormulasAndQuotes) {
  std::string text;
  AppendAuditCsv(text, {.seq = 1, .actor = "=cmd|' /C calc'!A0", .detail = "say \"hi\",\nthere"});
  EXPECT_NE(text.find("\"'=cmd|' /C calc'!A0\""), std::string::npos) << text;
  EXPECT_NE(text.find("\"say \"\"hi\"\",\nthere\""), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("\r\n"));
}

}  // namespace
}  // namespace sluice::portal
