// SPDX-License-Identifier: Apache-2.0
// The exported functions, one per row of calls.def.
#include "shim/internal/launch.h"

namespace sluice::shim {

#define SLUICE_FORMAL_0()
#define SLUICE_FORMAL_1(A) A a
#define SLUICE_FORMAL_2(A, B) A a, B b
#define SLUICE_FORMAL_3(A, B, C) A a, B b, C c
#define SLUICE_FORMAL_4(A, B, C, D) A a, B b, C c, D d
#define SLUICE_FORMAL_5(A, B, C, D, E) A a, B b, C c, D d, E e
#define SLUICE_FORMAL_6(A, B, C, D, E, F) A a, B b, C c, D d, E e, F f
#define SLUICE_FORMAL_7(A, B, C, D, E, F, G) A a, B b, C c, D d, E e, F f, G g
#define SLUICE_FORMAL_8(A, B, C, D, E, F, G, H) A a, B b, C c, D d, E e, F f, G g, H h
#define SLUICE_FORMAL_9(A, B, C, D, E, F, G, H, I) A a, B b, C c, D d, E e, F f, G g, H h, I i
#define SLUICE_FORMAL_10(A, B, C, D, E, F, G, H, I, J) \
  A a, B b, C c, D d, E e, F f, G g, H h, I i, J j
#define SLUICE_FORMAL_11(A, B, C, D, E, F, G, H, I, J, K) \
  A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k
#define SLUICE_ACTUAL_0
#define SLUICE_ACTUAL_1 , a
#define SLUICE_ACTUAL_2 , a, b
#define SLUICE_ACTUAL_3 , a, b, c
#define SLUICE_ACTUAL_4 , a, b, c, d
#define SLUICE_ACTUAL_5 , a, b, c, d, e
#define SLUICE_ACTUAL_6 , a, b, c, d, e, f
#define SLUICE_ACTUAL_7 , a, b, c, d, e, f, g
#define SLUICE_ACTUAL_8 , a, b, c, d, e, f, g, h
#define SLUICE_ACTUAL_9 , a, b, c, d, e, f, g, h, i
#define SLUICE_ACTUAL_10 , a, b, c, d, e, f, g, h, i, j
#define SLUICE_ACTUAL_11 , a, b, c, d, e, f, g, h, i, j, k

extern "C" {
#define CUDA_CALL(symbol, name, since, mode, category, handler, roles, count, types) \
  [[gnu::visibility("default")]] CUresult symbol(SLUICE_FORMAL_##count types) {      \
    return handler(Call::k_##symbol SLUICE_ACTUAL_##count);                          \
  }
#define NVML_CALL(symbol, handler, roles, count, types)                    \
  [[gnu::visibility("default")]] int symbol(SLUICE_FORMAL_##count types) { \
    return handler(Call::k_##symbol SLUICE_ACTUAL_##count);                \
  }
#include "shim/calls.def"
}

}  // namespace sluice::shim
