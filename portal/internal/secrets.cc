// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/secrets.h"

#include <array>
#include <sodium.h>
#include <vector>

#include "base/check.h"

namespace sluice::portal {
namespace {

const unsigned char* Raw(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* Raw(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

// libsodium wants this once; it is safe to repeat and from any thread.
void Ready() {
  static const int done = sodium_init();
  SLUICE_CHECK(done >= 0);
}

std::string Hex(const unsigned char* bytes, size_t count) {
  std::string out(2 * count + 1, '\0');
  sodium_bin2hex(out.data(), out.size(), bytes, count);
  out.pop_back();
  return out;
}

std::string RandomBytes(Random& random, size_t count) {
  std::string out;
  out.reserve(count + 8);
  while (out.size() < count) {
    uint64_t word = random.Next();
    for (int i = 0; i < 8; ++i, word >>= 8) out += static_cast<char>(word & 0xFFU);
  }
  out.resize(count);
  return out;
}

std::string SealingKey(std::string_view secret) {
  std::string key(crypto_secretbox_KEYBYTES, '\0');
  crypto_generichash(Raw(key), key.size(), Raw(secret), secret.size(), nullptr, 0);
  return key;
}

}  // namespace

std::string Sha256Hex(std::string_view bytes) {
  Ready();
  std::array<unsigned char, crypto_hash_sha256_BYTES> digest{};
  crypto_hash_sha256(digest.data(), Raw(bytes), bytes.size());
  return Hex(digest.data(), digest.size());
}

std::string ToBase64Url(std::string_view bytes) {
  constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string out(sodium_base64_encoded_len(bytes.size(), kVariant), '\0');
  sodium_bin2base64(out.data(), out.size(), Raw(bytes), bytes.size(), kVariant);
  out.pop_back();
  return out;
}

std::optional<std::string> FromBase64Url(std::string_view text) {
  std::string out(text.size(), '\0');
  size_t length = 0;
  const char* end = nullptr;
  const int failed = sodium_base642bin(Raw(out),
                                       out.size(),
                                       text.data(),
                                       text.size(),
                                       nullptr,
                                       &length,
                                       &end,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  if (failed != 0 || end != text.data() + text.size()) return std::nullopt;
  out.resize(length);
  return out;
}

std::string RandomText(Random& random, size_t bytes) {
  return ToBase64Url(RandomBytes(random, bytes));
}

std::string OneTimePassword(Random& random) {
  constexpr std::string_view kLetters = "abcdefghjkmnpqrstuvwxyz23456789";  // No i, l, o, 0, 1.
  constexpr int kGroups = 4;
  constexpr int kGroupLetters = 4;
  std::string out;
  for (int group = 0; group < kGroups; ++group) {
    if (group > 0) out += '-';
    // The remainder's bias of a 64-bit word over 31 letters is below 2^-58.
    for (int i = 0; i < kGroupLetters; ++i) out += kLetters[random.Next() % kLetters.size()];
  }
  return out;
}

std::string Derive(std::string_view secret, std::string_view purpose) {
  Ready();
  const std::string key = SealingKey(secret);
  std::array<unsigned char, crypto_auth_hmacsha256_BYTES> digest{};
  crypto_auth_hmacsha256(digest.data(), Raw(purpose), purpose.size(), Raw(key));
  return Hex(digest.data(), digest.size());
}

bool EqualSecrets(std::string_view a, std::string_view b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

Result<std::string> HashPassword(std::string_view password, const PasswordCost& cost) {
  Ready();
  std::array<char, crypto_pwhash_STRBYTES> hash{};
  if (crypto_pwhash_str_alg(hash.data(),
                            password.data(),
                            password.size(),
                            cost.passes,
                            cost.memory_bytes,
                            crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return Fail(Code::kResourceExhausted, "there is not enough memory to hash a password now");
  }
  return std::string(hash.data());
}

bool VerifyPassword(const std::string& hash, std::string_view password) {
  Ready();
  if (hash.empty() || hash.size() >= crypto_pwhash_STRBYTES) return false;
  return crypto_pwhash_str_verify(hash.c_str(), password.data(), password.size()) == 0;
}

std::string Seal(std::string_view plain, std::string_view secret, Random& random) {
  Ready();
  const std::string key = SealingKey(secret);
  std::string out = RandomBytes(random, crypto_secretbox_NONCEBYTES);
  std::string box(plain.size() + crypto_secretbox_MACBYTES, '\0');
  crypto_secretbox_easy(Raw(box), Raw(plain), plain.size(), Raw(out), Raw(key));
  out += box;
  return ToBase64Url(out);
}

std::optional<std::string> Unseal(std::string_view sealed, std::string_view secret) {
  Ready();
  constexpr size_t kExtra = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
  const auto bytes = FromBase64Url(sealed);
  if (!bytes || bytes->size() < kExtra) return std::nullopt;
  const std::string key = SealingKey(secret);
  std::string plain(bytes->size() - kExtra, '\0');
  const std::string_view box = std::string_view(*bytes).substr(crypto_secretbox_NONCEBYTES);
  if (crypto_secretbox_open_easy(Raw(plain), Raw(box), box.size(), Raw(*bytes), Raw(key)) != 0) {
    return std::nullopt;
  }
  return plain;
}

}  // namespace sluice::portal
