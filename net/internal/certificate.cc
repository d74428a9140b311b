// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/core.h>
#include <memory>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "net/server.h"

namespace sluice::net {
namespace {

// Renewed at the first start with less left: a start every few weeks is enough.
constexpr int kDaysLeftMin = 30;
constexpr long kSecondsPerDay = 86'400;

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;
using Bio = std::unique_ptr<BIO, Free>;

bool AddExtension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool IsIpAddress(const std::string& name) {
  ASN1_OCTET_STRING* parsed = a2i_IPADDRESS(name.c_str());
  if (parsed == nullptr) return false;
  ASN1_OCTET_STRING_free(parsed);
  return true;
}

// "DNS:host,IP:10.0.0.1". Names that could smuggle in another entry are left out.
std::string AlternativeNames(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    if (name.empty() || name.find_first_of(", \n\"'/\\") != std::string::npos) continue;
    if (!out.empty()) out += ',';
    out += (IsIpAddress(name) ? "IP:" : "DNS:") + name;
  }
  return out.empty() ? "DNS:localhost" : out;
}

Certificate MakeCertificate(EVP_PKEY* key, const std::vector<std::string>& names, int days_valid) {
  Certificate certificate(X509_new());
  std::array<unsigned char, 16> serial{};
  if (!certificate || RAND_bytes(serial.data(), static_cast<int>(serial.size())) != 1) return {};
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  X509_set_version(certificate.get(), X509_VERSION_3);
  // A day back, for clients whose clock is behind.
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kSecondsPerDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), days_valid * kSecondsPerDay);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  static constexpr unsigned char kName[] = "Sluice";
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, kName, -1, -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  const bool extended =
      AddExtension(certificate.get(), NID_basic_constraints, "critical,CA:FALSE") &&
      AddExtension(certificate.get(), NID_key_usage, "critical,digitalSignature") &&
      AddExtension(certificate.get(), NID_ext_key_usage, "serverAuth") &&
      AddExtension(certificate.get(), NID_subject_alt_name, AlternativeNames(names)) &&
      AddExtension(certificate.get(), NID_subject_key_identifier, "hash");
  if (!extended || X509_sign(certificate.get(), key, EVP_sha256()) == 0) return {};
  return certificate;
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(length)};
}

// Writes beside the place, then renames: a reader sees the whole file or none.
Result<void> WriteSecretFile(const std::string& path, const std::string& text) {
  const std::string temporary = fmt::format("{}.{}.new", path, getpid());
  const auto failed = [&] {
    const int error = errno;
    unlink(temporary.c_str());
    return Fail(Code::kUnavailable, fmt::format("cannot write {}: {}", path, std::strerror(error)));
  };
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return failed();
  const bool written =
      write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  close(fd);
  if (!written || rename(temporary.c_str(), path.c_str()) != 0) return failed();
  return {};
}

std::string Fingerprint(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  X509_digest(certificate, EVP_sha256(), digest.data(), &length);
  std::string out;
  for (unsigned int i = 0; i < length; ++i) {
    out += fmt::format("{}{:02X}", i == 0 ? "" : ":", digest[i]);
  }
  return out;
}

Result<Certificate> ReadCertificate(const std::string& path) {
  const Bio file(BIO_new_file(path.c_str(), "r"));
  Certificate certificate(file ? PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr)
                               : nullptr);
  if (!certificate) {
    return Fail(Code::kUnavailable, fmt::format("{} holds no certificate", path));
  }
  return Result<Certificate>(std::move(certificate));
}

Result<Key> ReadKey(const std::string& path) {
  const Bio file(BIO_new_file(path.c_str(), "r"));
  Key key(file ? PEM_read_bio_PrivateKey(file.get(), nullptr, nullptr, nullptr) : nullptr);
  if (!key) return Fail(Code::kUnavailable, fmt::format("{} holds no key", path));
  return Result<Key>(std::move(key));
}

bool EndsSoon(const X509* certificate) {
  int days = 0;
  int seconds = 0;
  return ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate)) != 1 ||
         days < kDaysLeftMin;
}

Result<Key> MakeKey(const std::string& path) {
  Key key(EVP_EC_gen("P-256"));
  if (!key) return Fail(Code::kInternal, "OpenSSL could not make a key");
  const Bio text(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  if (auto written = WriteSecretFile(path, TextOf(text.get())); !written) {
    return Fail(written.error());
  }
  return Result<Key>(std::move(key));
}

}  // namespace

Result<OwnCertificate> EnsureCertificate(const TlsFiles& files,
                                         const std::vector<std::string>& names,
                                         int days_valid) {
  const bool there =
      access(files.certificate_pem.c_str(), F_OK) == 0 && access(files.key_pem.c_str(), F_OK) == 0;
  if (there) {
    const auto present = ReadCertificate(files.certificate_pem);
    if (!present) return Fail(present.error());
    if (!EndsSoon(present->get())) return OwnCertificate{Fingerprint(present->get()), false};
  }
  // A new certificate for the key that is there: one file is replaced, so that the two always fit.
  const auto key = there ? ReadKey(files.key_pem) : MakeKey(files.key_pem);
  if (!key) return Fail(key.error());
  const Certificate certificate = MakeCertificate(key->get(), names, days_valid);
  if (!certificate) return Fail(Code::kInternal, "OpenSSL could not make a certificate");
  const Bio text(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(text.get(), certificate.get());
  auto written = WriteSecretFile(files.certificate_pem, TextOf(text.get()));
  if (!written) return Fail(written.error());
  return OwnCertificate{Fingerprint(certificate.get()), there};
}

}  // namespace sluice::net
