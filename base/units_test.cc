// SPDX-License-Identifier: Apache-2.0
#include "base/units.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(ParseBytes, ReadsBinaryUnits) {
  EXPECT_EQ(*ParseBytes("6GiB"), 6_GiB);
  EXPECT_EQ(*ParseBytes(" 512 MiB "), 512_MiB);
  EXPECT_EQ(*ParseBytes("1.5GiB"), 1536_MiB);
  EXPECT_EQ(*ParseBytes("1024"), Bytes(1024));
}

TEST(ParseBytes, RefusesDecimalUnitsAndNonsense) {
  for (const char* text : {"6GB", "6 MB", "", "GiB", "-1GiB", "inf", "nan", "1e40TiB", "6GiB6"}) {
    const auto bytes = ParseBytes(text);
    ASSERT_FALSE(bytes) << text;
    EXPECT_EQ(bytes.error().code, Code::kInvalidArgument) << text;
  }
}

TEST(ToText, RoundsDownSoThatFreeIsNeverOverstated) {
  EXPECT_EQ(ToText(8_GiB), "8 GiB");
  EXPECT_EQ(ToText(Bytes(8_GiB - Bytes(1))), "7.99 GiB");
  EXPECT_EQ(ToText(Bytes(1_GiB - Bytes(1))), "1023.9 MiB");
  EXPECT_EQ(ToText(Bytes(100)), "100 B");
  EXPECT_EQ(ToText(1536_MiB), "1.5 GiB");
}

TEST(ToText, HasAsManyDigitsAsItNeedsUpToTwo) {
  EXPECT_EQ(ToText(8448_MiB), "8.25 GiB");
  EXPECT_EQ(ToText(8704_MiB), "8.5 GiB");
  EXPECT_EQ(ToText(Bytes(8_GiB + 52_MiB)), "8.05 GiB");
  EXPECT_EQ(ToText(Bytes(8_GiB + 1_MiB)), "8 GiB");
  EXPECT_EQ(ToText(Bytes(1536)), "1.5 KiB");
}

TEST(ToText, SaysWhatWasAskedFor) {
  for (const char* text : {"3.2 GiB", "3.3 GiB", "7.99 GiB", "1.15 TiB", "100.7 MiB"}) {
    EXPECT_EQ(ToText(*ParseBytes(text)), text);
  }
}

TEST(WholePercent, NeverSaysMoreThanThereIs) {
  EXPECT_EQ(WholePercent(ComputeMillis(300)), 30);
  EXPECT_EQ(WholePercent(ComputeMillis(666)), 66);
}

TEST(ParseCompute, ReadsPercentAndMillis) {
  EXPECT_EQ(*ParseCompute("30%"), ComputeMillis(300));
  EXPECT_EQ(*ParseCompute("300"), ComputeMillis(300));
  EXPECT_FALSE(ParseCompute("101%"));
  EXPECT_FALSE(ParseCompute("30x"));
}

TEST(ParseDuration, NeedsAUnit) {
  EXPECT_EQ(*ParseDuration("90s"), Duration(90'000));
  EXPECT_EQ(*ParseDuration("2h"), Duration(7'200'000));
  EXPECT_FALSE(ParseDuration("90"));
}

TEST(ToRfc3339, PrintsMillisecondsInUtc) {
  EXPECT_EQ(ToRfc3339(TimePoint(Duration(1'700'000'000'123))), "2023-11-14T22:13:20.123Z");
}

}  // namespace
}  // namespace sluice
