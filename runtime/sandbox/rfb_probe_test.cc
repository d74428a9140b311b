// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/rfb_probe.h"

#include <gtest/gtest.h>
#include <random>
#include <string>

namespace sluice::runtime {
namespace {

using Progress = RfbProbe::Progress;

std::string Big16(int value) {
  return {static_cast<char>(value >> 8 & 255), static_cast<char>(value & 255)};
}
std::string Big32(uint32_t value) {
  return Big16(static_cast<int>(value >> 16)) + Big16(static_cast<int>(value & 0xffff));
}

std::string Greeting(int width, int height, const std::string& name = "desk") {
  return "RFB 003.008\n" + std::string("\2\20\1", 3) + Big32(0) + Big16(width) + Big16(height) +
         std::string(16, '\0') + Big32(static_cast<uint32_t>(name.size())) + name;
}

std::string Picture(int width, int height, int colours) {
  std::string text = std::string("\0\0", 2) + Big16(1) + Big16(0) + Big16(0) + Big16(width) +
                     Big16(height) + Big32(0);
  for (int i = 0; i < width * height; ++i) {
    text += Big32(static_cast<uint32_t>(i % colours) << 8);
  }
  return text;
}

TEST(RfbProbe, AsksForASharedViewAndAPictureInRawColours) {
  RfbProbe probe;
  EXPECT_EQ(probe.Consume(Greeting(8, 8)), Progress::kUp);
  const std::string output = probe.TakeOutput();
  EXPECT_TRUE(output.starts_with("RFB 003.008\n\1\1")) << output;
  EXPECT_TRUE(
      output.ends_with("\3" + std::string(1, '\0') + Big16(0) + Big16(0) + Big16(8) + Big16(8)));
  EXPECT_EQ(output.size(), 12U + 1 + 1 + 20 + 8 + 10);
}

TEST(RfbProbe, CallsADisplayPaintedThatHasTwentyColours) {
  RfbProbe probe;
  probe.Consume(Greeting(8, 8));
  EXPECT_EQ(probe.Consume(Picture(8, 8, 19)), Progress::kBlank);
  probe.TakeOutput();
  probe.AskAgain();
  EXPECT_EQ(probe.TakeOutput().size(), 10U);
  EXPECT_EQ(probe.Consume(Picture(8, 8, 20)), Progress::kPainted);
}

TEST(RfbProbe, ReadsTheSameWhateverThePieces) {
  const std::string bell = "\2";
  const std::string cut = std::string("\3\0\0\0", 4) + Big32(5) + "hello";
  const std::string extended =
      std::string("\3\0\0\0", 4) + Big32(static_cast<uint32_t>(-5)) + "hello";
  const std::string map = std::string("\1\0", 2) + Big16(0) + Big16(2) + std::string(12, 'x');
  const std::string all =
      Greeting(8, 8) + bell + cut + extended + map + Picture(8, 8, 3) + bell + Picture(8, 8, 30);
  for (size_t piece = 1; piece < 40; ++piece) {
    RfbProbe probe;
    Progress last = Progress::kGreeting;
    for (size_t at = 0; at < all.size(); at += piece) last = probe.Consume(all.substr(at, piece));
    EXPECT_EQ(last, Progress::kPainted) << piece;
  }
}

TEST(RfbProbe, RefusesWhatIsNotTheProtocol) {
  const std::string good = Greeting(8, 8);
  const std::string cases[] = {
      "RFB 003.003\n",
      "HTTP/1.1 200",
      "RFB 003.008\n" + std::string(1, '\0'),  // No security types.
      "RFB 003.008\n\1\2",                     // Only a password.
      "RFB 003.008\n\1\1" + Big32(1),          // Refused.
      Greeting(0, 8),                          // Nothing to show.
      good + "\7",                             // An unknown message.
      good + std::string("\0\0", 2) + Big16(1) + std::string(8, '\0') + Big32(16),  // Not raw.
  };
  for (const std::string& bytes : cases) {
    RfbProbe probe;
    EXPECT_EQ(probe.Consume(bytes), Progress::kProtocolError) << bytes;
    EXPECT_EQ(probe.Consume(good), Progress::kProtocolError);
  }
}

TEST(RfbProbe, KeepsNothingOfWhatItSkips) {
  RfbProbe probe;
  probe.Consume(Greeting(65535, 65535) + std::string("\3\0\0\0", 4) + Big32(0x7fffffff));
  EXPECT_TRUE(probe.TakeOutput().ends_with(Big16(2048) + Big16(2048)));
  const std::string block(1 << 20, 'x');
  for (int i = 0; i < 64; ++i) EXPECT_EQ(probe.Consume(block), Progress::kUp);
}

TEST(RfbProbe, StandsAnyBytes) {
  const auto seed = static_cast<uint64_t>(::testing::UnitTest::GetInstance()->random_seed()) + 1;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = Greeting(4, 4) + Picture(4, 4, 16);
    for (int i = 0; i < 8; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    RfbProbe probe;
    for (size_t at = 0; at < bytes.size();) {
      const size_t piece = 1 + random() % 16;
      probe.Consume(std::string_view(bytes).substr(at, piece));
      at += piece;
    }
  }
}

}  // namespace
}  // namespace sluice::runtime
