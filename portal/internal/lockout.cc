// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/lockout.h"

#include <algorithm>

namespace sluice::portal {
namespace {

// Failures that are free, per row of Keys().
constexpr std::array<int, 3> kFree = {5, 20, 100};
constexpr Duration kFirstLock{30'000};
constexpr Duration kLongestLock{15 * 60'000};
constexpr Duration kForgetAfter{30 * 60'000};
constexpr size_t kTalliesMax = 20'000;

// An attacker may try any number of names; what is old or has few failures goes first.
template <typename Tallies>
void MakeRoom(Tallies& tallies, Duration now) {
  if (tallies.size() < kTalliesMax) return;
  std::erase_if(
      tallies, [now](const auto& entry) { return entry.second.last_failure + kForgetAfter < now; });
  if (tallies.size() < kTalliesMax) return;
  std::erase_if(tallies, [now](const auto& entry) { return entry.second.locked_until <= now; });
}

}  // namespace

std::array<std::string, 3> Lockout::Keys(std::string_view account, std::string_view source) {
  const std::string a(account.substr(0, 200));
  const std::string s(source);
  return {"both\n" + a + "\n" + s, "source\n" + s, "account\n" + a};
}

Duration Lockout::LockedFor(std::string_view account, std::string_view source, Duration now) const {
  return tallies_.With([&](const Tallies& tallies) {
    Duration longest{0};
    for (const std::string& key : Keys(account, source)) {
      const auto found = tallies.find(key);
      if (found != tallies.end()) longest = std::max(longest, found->second.locked_until - now);
    }
    return longest;
  });
}

void Lockout::Failed(std::string_view account, std::string_view source, Duration now) {
  tallies_.With([&](Tallies& tallies) {
    MakeRoom(tallies, now);
    const auto keys = Keys(account, source);
    for (size_t i = 0; i < keys.size(); ++i) {
      Tally& tally = tallies[keys.at(i)];
      if (tally.last_failure + kForgetAfter < now) tally = Tally();
      ++tally.failures;
      tally.last_failure = now;
      const int over = tally.failures - kFree.at(i);
      if (over < 0) continue;
      const Duration lock = kFirstLock * (1 << std::min(over, 6));
      tally.locked_until = now + std::min(lock, kLongestLock);
    }
  });
}

void Lockout::Succeeded(std::string_view account, std::string_view source) {
  tallies_.With([&](Tallies& tallies) { tallies.erase(Keys(account, source)[0]); });
}

}  // namespace sluice::portal
