// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/region.h"

namespace sluice::region {

// A ledger file of a test's own, mapped. Only its creator removes it.
class TestLedger {
 public:
  TestLedger() : path_(::testing::TempDir() + "sluice-ledger-XXXXXX"), creator_(getpid()) {
    file_ = mkostemp(path_.data(), O_CLOEXEC);
    EXPECT_GE(file_, 0);
    EXPECT_EQ(ftruncate(file_, sizeof(LedgerPage)), 0);
    void* at = mmap(nullptr, sizeof(LedgerPage), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    EXPECT_NE(at, MAP_FAILED);
    page_ = static_cast<LedgerPage*>(at);
    page_->magic = kLedgerMagic;
    page_->version = kVersion;
    page_->slot_count = kSlotCount;
  }
  TestLedger(const TestLedger&) = delete;
  TestLedger& operator=(const TestLedger&) = delete;
  ~TestLedger() {
    munmap(page_, sizeof(LedgerPage));
    close(file_);
    if (getpid() == creator_) {
      unlink(path_.c_str());
    }
  }

  LedgerPage& page() { return *page_; }
  int file() const { return file_; }
  // A further description of the same file, as another process has it.
  int Open() const { return open(path_.c_str(), O_RDWR | O_CLOEXEC); }

 private:
  std::string path_;
  pid_t creator_;
  int file_ = -1;
  LedgerPage* page_ = nullptr;
};

inline uint64_t SumHeld(LedgerPage& page, int device) {
  uint64_t sum = 0;
  for (int slot = 0; slot < kSlotCount; ++slot) {
    sum += Held(page, device, slot);
  }
  return sum;
}

}  // namespace sluice::region
