// SPDX-License-Identifier: Apache-2.0
// A program with a collective on two cards: in each round a kernel runs on both, and neither card
// goes on before the other has come as far. It works until its input ends, and answers each line
// with the number of rounds that are done.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <iostream>
#include <string>
#include <thread>

#include "shim/test_program.h"

namespace {

using sluice::shim::Call;
using sluice::shim::kSleepPtx;

constexpr int kCards = 2;

struct Card {
  void* context = nullptr;
  void* kernel = nullptr;
  void* stream = nullptr;
  uint64_t flag = 0;
};

void Open(Card& card, int index) {
  void* module = nullptr;
  const void* const text = kSleepPtx;
  Call("cuDevicePrimaryCtxRetain", &card.context, index);
  Call("cuCtxSetCurrent", card.context);
  Call("cuModuleLoadData", &module, text);
  Call("cuModuleGetFunction", &card.kernel, module, "sluice_sleep_us");
  Call("cuStreamCreate", &card.stream, 1U);
  Call("cuMemAlloc_v2", &card.flag, size_t{4096});
  Call("cuMemsetD32_v2", card.flag, 0U, size_t{1});
}

void Launch(const Card& card, const Card& other, uint32_t round) {
  uint64_t us = 500;
  void* arguments[] = {&us};
  void** const none = nullptr;
  Call("cuCtxSetCurrent", card.context);
  Call("cuLaunchKernel",
       card.kernel,
       1U,
       1U,
       1U,
       1U,
       1U,
       1U,
       0U,
       card.stream,
       static_cast<void**>(arguments),
       none);
  Call("cuStreamWriteValue32_v2", card.stream, card.flag, round, 0U);
  Call("cuStreamWaitValue32_v2", card.stream, other.flag, round, 0U);
}

}  // namespace

int main() {
  if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr) return 2;
  Card cards[kCards];
  Call("cuInit", 0U);
  for (int i = 0; i < kCards; ++i) Open(cards[i], i);
  std::atomic<uint32_t> done{0};
  std::thread([&] {
    for (uint32_t round = 1;; ++round) {
      Launch(cards[0], cards[1], round);
      Launch(cards[1], cards[0], round);
      if (round % 4 != 0) continue;
      for (const Card& card : cards) {
        Call("cuCtxSetCurrent", card.context);
        Call("cuStreamSynchronize", card.stream);
      }
      done = round;
    }
  }).detach();
  std::printf("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    std::printf("%u\n", done.load());
    std::fflush(stdout);
  }
  std::_Exit(0);
}
