// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"
#include "base/result.h"

// What protects secrets: hashes, random text, passwords, sealing. On libsodium.
namespace sluice::portal {

// 64 hexadecimal digits.
std::string Sha256Hex(std::string_view bytes);

// `bytes` random bytes as base64url without padding; 32 bytes give 43 characters.
std::string RandomText(Random& random, size_t bytes);

// Easy to type: groups of letters and digits that cannot be mistaken for another, about 79 bits.
std::string OneTimePassword(Random& random);

// A value that only the holder of `secret` can name, for one `purpose`. 64 hexadecimal digits.
std::string Derive(std::string_view secret, std::string_view purpose);

// In time that does not depend on where they differ.
bool EqualSecrets(std::string_view a, std::string_view b);

// What one argon2id hash costs. More is better against a stolen store, worse for sign-ins at once.
struct PasswordCost {
  uint64_t passes = 3;
  size_t memory_bytes = 32 << 20;
};

// argon2id, in libsodium's text form. Blocks for about a tenth of a second at the default cost.
// Fails with kResourceExhausted when there is no memory for it.
Result<std::string> HashPassword(std::string_view password, const PasswordCost& cost);
// False for an empty or broken hash as well.
bool VerifyPassword(const std::string& hash, std::string_view password);

// Encrypts under a key made from `secret`, so that the store alone does not reveal what a replayed
// answer holds (one-time passwords, tokens). Base64url text.
std::string Seal(std::string_view plain, std::string_view secret, Random& random);
// nullopt if it was not sealed with this secret.
std::optional<std::string> Unseal(std::string_view sealed, std::string_view secret);

// Base64url without padding, and back (nullopt if it is not).
std::string ToBase64Url(std::string_view bytes);
std::optional<std::string> FromBase64Url(std::string_view text);

}  // namespace sluice::portal
