// SPDX-License-Identifier: Apache-2.0
// A program that has nothing to do with the driver, for builds that the interposer cannot enter.
#include <stdio.h>

int main(void) {
  puts("hello");
  return 0;
}
