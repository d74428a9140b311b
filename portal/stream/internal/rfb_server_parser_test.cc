// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/internal/rfb_server_parser.h"

#include <gtest/gtest.h>
#include <vector>

#include "portal/stream/testing/rfb_bytes.h"

namespace sluice::stream::internal {
namespace {

using namespace testing;  // NOLINT: the words of this test's language.

constexpr uint16_t kWidth = 64;
constexpr uint16_t kHeight = 48;

struct Outcome {
  std::string out;
  std::string error;
  uint64_t updates = 0;
};

// Feeds a display's bytes behind a good handshake, at once and byte by byte.
Outcome Feed(const std::string& bytes, Mode mode = Mode::kControl) {
  const std::string handshake = ServerHandshake(kWidth, kHeight);
  Outcome whole;
  RfbServerParser at_once(mode);
  if (auto fed = at_once.Feed(handshake + bytes, whole.out); !fed) {
    whole.error = fed.error().message;
  }
  whole.updates = at_once.updates();
  Outcome split;
  RfbServerParser in_pieces(mode);
  for (const char byte : handshake + bytes) {
    if (auto fed = in_pieces.Feed(std::string_view(&byte, 1), split.out); !fed) {
      split.error = fed.error().message;
      break;
    }
  }
  EXPECT_EQ(whole.error, split.error);
  if (whole.error.empty()) {
    EXPECT_EQ(whole.out, split.out);
  }
  EXPECT_EQ(whole.out.substr(0, handshake.size()), handshake);
  whole.out.erase(0, handshake.size());
  return whole;
}

std::string X(size_t count) {
  return std::string(count, 'x');
}

struct Good {
  const char* name;
  std::string bytes;
};

std::vector<Good> GoodUpdates() {
  const std::string pixel = X(4);
  const std::string tight_pixel = X(3);
  // Two tiles: a raw one of 16x16, then one of 4x16 with background and two plain parts.
  const std::string hextile =
      B({1}) + X(16 * 16 * 4) + B({2 | 4 | 8}) + pixel + pixel + B({2}) + X(4);
  return {
      {"raw", Update({0, 0, 3, 2, 0}, X(24))},
      {"copy", Update({0, 0, 3, 2, 1}, U16(60) + U16(40))},
      {"rre", Update({0, 0, 8, 8, 2}, U32(2) + pixel + X(2 * 12))},
      {"hextile", Update({0, 0, 20, 16, 5}, hextile)},
      {"hextile coloured", Update({0, 0, 4, 4, 5}, B({8 | 16}) + B({3}) + X(3 * 6))},
      {"zlib", Update({0, 0, 4, 4, 6}, U32(7) + X(7))},
      {"zrle", Update({0, 0, 4, 4, 16}, U32(9) + X(9))},
      {"tight fill", Update({0, 0, 64, 48, 7}, B({0x80}) + tight_pixel)},
      {"tight jpeg", Update({0, 0, 64, 48, 7}, B({0x90, 0x85, 0x02}) + X(261))},
      {"tight copy", Update({0, 0, 64, 48, 7}, B({0x00, 0x03}) + X(3))},
      {"tight copy, short", Update({0, 0, 1, 3, 7}, B({0x10}) + X(9))},
      {"tight gradient", Update({0, 0, 64, 48, 7}, B({0x40, 2, 0x80, 0x80, 0x01}) + X(16384))},
      {"tight two colours", Update({0, 0, 8, 3, 7}, B({0x60, 1, 1}) + X(6) + X(3))},
      {"tight palette", Update({0, 0, 8, 8, 7}, B({0x40, 1, 3}) + X(12) + B({20}) + X(20))},
      {"tight png", Update({0, 0, 8, 8, -260}, B({0xa0, 5}) + X(5))},
      {"cursor", Update({1, 1, 9, 2, -239}, X(9 * 2 * 4) + X(2 * 2))},
      {"x cursor", Update({1, 1, 9, 2, -240}, X(6) + X(2 * 2 * 2))},
      {"no cursor", Update({0, 0, 0, 0, -240}, "")},
      {"vmware cursor", Update({1, 1, 2, 2, 0x574d5664}, B({1, 0}) + X(16))},
      {"vmware mask cursor", Update({1, 1, 2, 2, 0x574d5664}, B({0, 0}) + X(32))},
      {"desktop size", Update({0, 0, 800, 600, -223}, "") + Update({700, 500, 1, 1, 0}, X(4))},
      {"screens", Update({0, 0, 800, 600, -308}, B({1, 0, 0, 0}) + X(16))},
      {"refused size", Update({1, 1, 0, 0, -308}, B({1, 0, 0, 0}) + X(16))},
      {"name", Update({0, 0, 0, 0, -307}, U32(4) + "name")},
      {"led", Update({0, 0, 0, 0, -261}, X(1))},
      {"vmware led", Update({0, 0, 0, 0, 0x574d5668}, X(4))},
      {"qemu key", Update({0, 0, 0, 0, -258}, "")},
      {"last rectangle",
       UpdateHead(0xffff) + RectHead({0, 0, 1, 1, 0}) + X(4) + RectHead({0, 0, 0, 0, -224})},
      {"empty", UpdateHead(0)},
  };
}

TEST(RfbServerParser, PassesEveryEncoding) {
  const std::string probe = Update({63, 47, 1, 1, 0}, X(4));
  for (const Good& good : GoodUpdates()) {
    const Outcome outcome = Feed(good.bytes + probe);
    EXPECT_EQ(outcome.error, "") << good.name;
    EXPECT_EQ(outcome.out, good.bytes + probe) << good.name;
    EXPECT_GE(outcome.updates, 2u) << good.name;
  }
}

TEST(RfbServerParser, PassesTheOtherMessages) {
  const std::string messages = B({1, 0, 0, 0, 0, 2}) + X(12) + B({2}) + B({3, 0, 0, 0}) + U32(5) +
                               "hello" + B({3, 0, 0, 0}) + U32(static_cast<uint32_t>(-6)) + X(6) +
                               B({150}) + B({248, 0, 0, 0}) + U32(1) + B({2}) + "ab" +
                               UpdateHead(0);
  const Outcome outcome = Feed(messages);
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.out, messages);
}

TEST(RfbServerParser, KeepsTheClipboardFromViewers) {
  const std::string cut = B({3, 0, 0, 0}) + U32(5) + "hello";
  EXPECT_EQ(Feed(cut + UpdateHead(0), Mode::kView).out, UpdateHead(0));
}

TEST(RfbServerParser, FollowsThePixelFormat) {
  RfbServerParser parser(Mode::kControl);
  std::string out;
  ASSERT_TRUE(parser.Feed(ServerHandshake(kWidth, kHeight), out));
  PixelFormat format;
  format.bits_per_pixel = 16;
  format.depth = 16;
  format.red_max = format.blue_max = 31;
  format.green_max = 63;
  parser.SetPixelFormat(format);
  ASSERT_TRUE(parser.Feed(Update({0, 0, 3, 2, 0}, X(12)), out));
  ASSERT_TRUE(parser.Feed(Update({0, 0, 3, 2, 7}, B({0x80}) + X(2)), out));
  EXPECT_EQ(parser.updates(), 2u);
}

TEST(RfbServerParser, OffersNoSecurityButNone) {
  RfbServerParser parser(Mode::kControl);
  std::string out;
  ASSERT_TRUE(parser.Feed("RFB 003.008\n" + B({3, 19, 1, 2}), out));
  EXPECT_EQ(out, "RFB 003.008\n" + B({1, 1}));
}

TEST(RfbServerParser, RefusesABadHandshake) {
  const std::string good = "RFB 003.008\n" + B({1, 1}) + U32(0);
  std::string palette = kPixelFormat32;
  palette[3] = 0;
  const std::string cases[] = {
      "RFB 003.003\n",
      "HTTP/1.1 200",
      "RFB 003.008\n" + B({0}) + U32(4) + "full",
      "RFB 003.008\n" + B({1, 2}),
      "RFB 003.008\n" + B({1, 1}) + U32(1),
      good + U16(0) + U16(480) + kPixelFormat32 + U32(0),
      good + U16(65535) + U16(480) + kPixelFormat32 + U32(0),
      good + U16(16384) + U16(16384) + kPixelFormat32 + U32(0),
      good + U16(640) + U16(480) + palette + U32(0),
      good + U16(640) + U16(480) + kPixelFormat32 + U32(0xffffffff),
  };
  for (const std::string& bytes : cases) {
    RfbServerParser parser(Mode::kControl);
    std::string out;
    const auto fed = parser.Feed(bytes, out);
    ASSERT_FALSE(fed) << bytes;
    EXPECT_EQ(fed.error().code, Code::kInvalidArgument);
  }
}

TEST(RfbServerParser, RefusesWhatWouldMisleadAViewer) {
  const Good cases[] = {
      {"unknown message", B({9})},
      {"audio", B({255, 1, 0, 2})},
      {"outside to the right", Update({60, 0, 5, 1, 0}, X(20))},
      {"outside below", Update({0, 47, 1, 2, 0}, X(8))},
      {"copy from outside", Update({0, 0, 5, 5, 1}, U16(60) + U16(0))},
      {"unknown encoding", Update({0, 0, 1, 1, 99}, "")},
      {"an encoding without length", Update({0, 0, 1, 1, 21}, "")},
      {"a request as an answer", Update({0, 0, 1, 1, -312}, "")},
      {"too many parts", Update({0, 0, 2, 2, 2}, U32(5) + X(4))},
      {"zrle bomb", Update({0, 0, 4, 4, 16}, U32(0x7fffffff))},
      {"zlib bomb", Update({0, 0, 4, 4, 6}, U32(0xffffffff))},
      {"tight bomb", Update({0, 0, 4, 4, 7}, B({0x00, 0xff, 0xff, 0xff}))},
      {"tight kind", Update({0, 0, 4, 4, 7}, B({0xb0}))},
      {"tight png in tight", Update({0, 0, 4, 4, 7}, B({0xa0}))},
      {"tight basic in png", Update({0, 0, 4, 4, -260}, B({0x00}))},
      {"tight filter", Update({0, 0, 4, 4, 7}, B({0x40, 3}))},
      {"huge cursor", Update({0, 0, 2000, 2000, -239}, "")},
      {"vmware cursor kind", Update({0, 0, 2, 2, 0x574d5664}, B({7, 0}))},
      {"size zero", Update({0, 0, 0, 600, -223}, "")},
      {"size too large", Update({0, 0, 65535, 65535, -308}, B({1, 0, 0, 0}))},
      {"long name", Update({0, 0, 0, 0, -307}, U32(100'000))},
      {"colour map past its end", B({1, 0}) + U16(0xffff) + U16(2)},
      {"long fence", B({248, 0, 0, 0}) + U32(0) + B({65})},
      {"half extended clipboard", B({3, 0, 0, 0}) + U32(static_cast<uint32_t>(-2))},
      {"1 GiB clipboard", B({3, 0, 0, 0}) + U32(1u << 30)},
      {"1 GiB extended clipboard", B({3, 0, 0, 0}) + U32(static_cast<uint32_t>(-(1 << 30)))},
      {"most negative clipboard", B({3, 0, 0, 0}) + U32(0x80000000u)},
  };
  for (const Good& bad : cases) EXPECT_NE(Feed(bad.bytes).error, "") << bad.name;
}

TEST(RfbServerParser, DropsALargeClipboardWithANotice) {
  ServerLimits limits;
  limits.cut_text_bytes_max = 10;
  RfbServerParser parser(Mode::kControl, limits);
  std::string out;
  ASSERT_TRUE(parser.Feed(ServerHandshake(kWidth, kHeight), out));
  out.clear();
  ASSERT_TRUE(parser.Feed(B({3, 0, 0, 0}) + U32(11) + X(11) + B({2}), out));
  EXPECT_EQ(out, B({2}));
  EXPECT_TRUE(parser.TakeClipboardNotice());
}

}  // namespace
}  // namespace sluice::stream::internal
