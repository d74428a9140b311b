// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox.h"

int main(int argc, char** argv) {
  return sluice::runtime::SuperviseMain(argc, argv);
}
