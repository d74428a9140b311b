// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/internal/rfb_client_parser.h"

#include <gtest/gtest.h>

#include "portal/stream/testing/rfb_bytes.h"

namespace sluice::stream::internal {
namespace {

using namespace testing;  // NOLINT: the words of this test's language.

const std::string kHandshake = "RFB 003.008\n" + B({1, 1});

// Feeds the bytes one by one and in one piece; both must come to the same.
struct Outcome {
  std::string out;
  std::string error;
};

Outcome Feed(Mode mode, const std::string& bytes, const ClientLimits& limits = {}) {
  ManualClock clock;
  Outcome whole;
  RfbClientParser at_once(mode, clock, limits);
  if (auto fed = at_once.Feed(kHandshake + bytes, whole.out); !fed) {
    whole.error = fed.error().message;
  }
  Outcome split;
  RfbClientParser in_pieces(mode, clock, limits);
  for (const char byte : kHandshake + bytes) {
    if (auto fed = in_pieces.Feed(std::string_view(&byte, 1), split.out); !fed) {
      split.error = fed.error().message;
      break;
    }
  }
  EXPECT_EQ(whole.out, split.out);
  EXPECT_EQ(whole.error, split.error);
  EXPECT_EQ(whole.out.substr(0, kHandshake.size()), kHandshake);
  whole.out.erase(0, kHandshake.size());
  return whole;
}

std::string Key(bool down, uint32_t symbol) {
  return B({4, down, 0, 0}) + U32(symbol);
}
std::string Pointer(int buttons, uint16_t x, uint16_t y) {
  return B({5, buttons}) + U16(x) + U16(y);
}

const std::string kAnnounceSizes =
    B({2, 0}) + U16(1) + U32(static_cast<uint32_t>(encoding::kExtendedDesktopSize));

TEST(RfbClientParser, PassesWhatAControllerMaySend) {
  const std::string messages[] = {
      B({0, 0, 0, 0}) + kPixelFormat32,
      B({3, 1}) + U16(0) + U16(0) + U16(640) + U16(480),
      Key(true, 0xff0d),
      Pointer(1, 10, 20),
      B({6, 0, 0, 0}) + U32(5) + "hello",
      B({6, 0, 0, 0}) + U32(static_cast<uint32_t>(-8)) + U32(0x08000000) + "zlib",
      B({150, 1}) + U16(0) + U16(0) + U16(640) + U16(480),
      B({248, 0, 0, 0}) + U32(1) + B({3}) + "abc",
      kAnnounceSizes + B({251, 0}) + U16(800) + U16(600) + B({1, 0}) + std::string(16, 's'),
      B({255, 0}) + U16(1) + U32(0x61) + U32(30),
  };
  for (const std::string& message : messages) {
    const Outcome outcome = Feed(Mode::kControl, message + Key(false, 'x'));
    EXPECT_EQ(outcome.error, "");
    EXPECT_EQ(outcome.out, message + Key(false, 'x'));
  }
}

TEST(RfbClientParser, DropsASizeWhoseAnswerWasNotAnnounced) {
  const std::string size = B({251, 0}) + U16(800) + U16(600) + B({1, 0}) + std::string(16, 's');
  const Outcome outcome = Feed(Mode::kControl, size + Key(true, 'x') + kAnnounceSizes + size);
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.out, Key(true, 'x') + kAnnounceSizes + size);
}

TEST(RfbClientParser, DropsEveryInfluenceOfAViewer) {
  const std::string request = B({3, 1}) + U16(0) + U16(0) + U16(640) + U16(480);
  const std::string input = Key(true, 'x') + Pointer(1, 1, 1) + B({6, 0, 0, 0}) + U32(3) + "abc" +
                            B({251, 0}) + U16(8) + U16(6) + B({0, 0}) + B({255, 0}) + U16(1) +
                            U32(0x61) + U32(30) + B({250, 0, 1, 2});
  const Outcome outcome = Feed(Mode::kView, input + request + input + request);
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.out, request + request);
}

TEST(RfbClientParser, AlwaysAsksForASharedDisplay) {
  ManualClock clock;
  RfbClientParser parser(Mode::kControl, clock);
  std::string out;
  ASSERT_TRUE(parser.Feed("RFB 003.008\n" + B({1, 0}), out));
  EXPECT_EQ(out, kHandshake) << "an exclusive client would throw the others out";
}

TEST(RfbClientParser, RefusesAnotherHandshake) {
  ManualClock clock;
  for (const std::string& bytes : {std::string("RFB 003.003\n"), "RFB 003.008\n" + B({2})}) {
    RfbClientParser parser(Mode::kControl, clock);
    std::string out;
    const auto fed = parser.Feed(bytes, out);
    ASSERT_FALSE(fed);
    EXPECT_EQ(fed.error().code, Code::kInvalidArgument);
  }
}

TEST(RfbClientParser, KeepsOnlyEncodingsThatCanBeChecked) {
  const std::string clipboard = U32(0xc0a1e5ce);
  const std::string list = U32(7) + U32(21) + U32(0) + clipboard + U32(static_cast<uint32_t>(-30)) +
                           U32(static_cast<uint32_t>(-309));
  const std::string asked = B({2, 0}) + U16(6) + list;
  const std::string quality = U32(static_cast<uint32_t>(-30));
  EXPECT_EQ(Feed(Mode::kControl, asked).out,
            B({2, 0}) + U16(4) + U32(7) + U32(0) + clipboard + quality);
  EXPECT_EQ(Feed(Mode::kView, asked).out, B({2, 0}) + U16(3) + U32(7) + U32(0) + quality);
}

TEST(RfbClientParser, RefusesWhatNoViewerOfOursSends) {
  const std::string request = B({3, 1}) + U16(0) + U16(0) + U16(640) + U16(480);
  std::string other_format = B({0, 0, 0, 0}) + kPixelFormat32;
  other_format[4] = 16;
  other_format[5] = 15;
  std::string palette = B({0, 0, 0, 0}) + kPixelFormat32;
  palette[7] = 0;
  const std::string cases[] = {
      B({7}),
      B({200}),
      palette,
      B({0, 0, 0, 0}) + kPixelFormat32 + request + other_format,
      B({2, 0}) + U16(257),
      B({248, 0, 0, 0}) + U32(0) + B({65}),
      B({251, 0}) + U16(0) + U16(600) + B({1, 0}),
      B({251, 0}) + U16(800) + U16(600) + B({17, 0}),
      B({255, 1}) + U16(0),
      B({6, 0, 0, 0}) + U32(static_cast<uint32_t>(-3)),
      B({6, 0, 0, 0}) + U32(0x80000000u),
  };
  for (const std::string& bytes : cases) {
    EXPECT_NE(Feed(Mode::kControl, bytes + std::string(64, '\0')).error, "");
  }
}

TEST(RfbClientParser, DropsALargeClipboardWithANotice) {
  ManualClock clock;
  ClientLimits limits;
  limits.cut_text_bytes_max = 100;
  limits.cut_text_bytes_wall = 1000;
  RfbClientParser parser(Mode::kControl, clock, limits);
  std::string out;
  ASSERT_TRUE(parser.Feed(kHandshake, out));
  out.clear();
  ASSERT_TRUE(
      parser.Feed(B({6, 0, 0, 0}) + U32(101) + std::string(101, 'x') + Key(true, 'a'), out));
  EXPECT_EQ(out, Key(true, 'a'));
  EXPECT_TRUE(parser.TakeClipboardNotice());
  EXPECT_FALSE(parser.TakeClipboardNotice());
  const auto huge = parser.Feed(B({6, 0, 0, 0}) + U32(1u << 30), out);
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().code, Code::kResourceExhausted);
}

TEST(RfbClientParser, DropsMovementsAboveTheRateAndKeepsClicks) {
  ManualClock clock;
  ClientLimits limits;
  limits.input_per_second = 10;
  limits.input_burst = 5;
  RfbClientParser parser(Mode::kControl, clock, limits);
  std::string out;
  ASSERT_TRUE(parser.Feed(kHandshake, out));
  out.clear();
  for (uint16_t i = 0; i < 20; ++i) ASSERT_TRUE(parser.Feed(Pointer(0, i, i), out));
  EXPECT_EQ(out.size(), 5u * 6);
  out.clear();
  ASSERT_TRUE(parser.Feed(Pointer(1, 9, 9) + Pointer(0, 9, 9), out));
  EXPECT_EQ(out, Pointer(1, 9, 9) + Pointer(0, 9, 9));
  clock.Advance(Duration(1000));
  out.clear();
  ASSERT_TRUE(parser.Feed(Pointer(0, 3, 3), out));
  EXPECT_EQ(out, Pointer(0, 3, 3));
}

TEST(RfbClientParser, CutsAFloodOfKeysOff) {
  ManualClock clock;
  ClientLimits limits;
  limits.input_burst = 10;
  RfbClientParser parser(Mode::kControl, clock, limits);
  std::string out;
  std::string flood = kHandshake;
  for (int i = 0; i < 100; ++i) flood += Key(true, 'a');
  const auto fed = parser.Feed(flood, out);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, Code::kPermissionDenied);
  EXPECT_EQ(out.size(), kHandshake.size() + 20 * 8);
}

TEST(RfbClientParser, RemembersTheLastInput) {
  ManualClock clock;
  RfbClientParser parser(Mode::kControl, clock);
  std::string out;
  ASSERT_TRUE(parser.Feed(kHandshake, out));
  EXPECT_EQ(parser.last_input_at(), TimePoint());
  clock.Advance(Duration(500));
  ASSERT_TRUE(parser.Feed(Key(true, 'a'), out));
  EXPECT_EQ(parser.last_input_at(), clock.Now());
}

}  // namespace
}  // namespace sluice::stream::internal
