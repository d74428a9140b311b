// SPDX-License-Identifier: Apache-2.0
// dlsym and dlvsym. A name that may be a driver call goes to SluiceLookUp; everything else, and
// what that answers with null, jumps to the loader's own function with the caller's return address
// in place, because RTLD_NEXT means "after whoever called".

#if defined(__x86_64__)

  .text
  .macro entry name, real
  .globl \name
  .type \name, @function
  .p2align 4
\name:
  .cfi_startproc
  endbr64
  testq %rsi, %rsi
  jz 2f
  movzbl (%rsi), %eax
  cmpb $'c', %al
  je 1f
  cmpb $'n', %al
  jne 2f
1:
  pushq %rdi
  .cfi_adjust_cfa_offset 8
  pushq %rsi
  .cfi_adjust_cfa_offset 8
  pushq %rdx
  .cfi_adjust_cfa_offset 8
  call SluiceLookUp
  popq %rdx
  .cfi_adjust_cfa_offset -8
  popq %rsi
  .cfi_adjust_cfa_offset -8
  popq %rdi
  .cfi_adjust_cfa_offset -8
  testq %rax, %rax
  jz 2f
  ret
2:
  movq \real(%rip), %rax
  testq %rax, %rax
  jz 3f
  jmp *%rax
3:
  pushq %rdi
  .cfi_adjust_cfa_offset 8
  pushq %rsi
  .cfi_adjust_cfa_offset 8
  pushq %rdx
  .cfi_adjust_cfa_offset 8
  call SluiceFindLoader
  popq %rdx
  .cfi_adjust_cfa_offset -8
  popq %rsi
  .cfi_adjust_cfa_offset -8
  popq %rdi
  .cfi_adjust_cfa_offset -8
  movq \real(%rip), %rax
  testq %rax, %rax
  jz 4f
  jmp *%rax
4:
  ret
  .cfi_endproc
  .size \name, . - \name
  .endm

#elif defined(__aarch64__)

  .text
  .macro entry name, real
  .globl \name
  .type \name, %function
  .p2align 4
\name:
  .cfi_startproc
  hint #34
  cbz x1, 2f
  ldrb w9, [x1]
  cmp w9, #'c'
  b.eq 1f
  cmp w9, #'n'
  b.ne 2f
1:
  stp x29, x30, [sp, #-48]!
  .cfi_adjust_cfa_offset 48
  .cfi_rel_offset x30, 8
  stp x0, x1, [sp, #16]
  str x2, [sp, #32]
  bl SluiceLookUp
  mov x16, x0
  ldp x0, x1, [sp, #16]
  ldr x2, [sp, #32]
  ldp x29, x30, [sp], #48
  .cfi_adjust_cfa_offset -48
  .cfi_restore x30
  cbz x16, 2f
  mov x0, x16
  ret
2:
  adrp x16, \real
  ldr x16, [x16, #:lo12:\real]
  cbz x16, 3f
  br x16
3:
  stp x29, x30, [sp, #-48]!
  .cfi_adjust_cfa_offset 48
  .cfi_rel_offset x30, 8
  stp x0, x1, [sp, #16]
  str x2, [sp, #32]
  bl SluiceFindLoader
  ldp x0, x1, [sp, #16]
  ldr x2, [sp, #32]
  ldp x29, x30, [sp], #48
  .cfi_adjust_cfa_offset -48
  .cfi_restore x30
  adrp x16, \real
  ldr x16, [x16, #:lo12:\real]
  cbz x16, 4f
  br x16
4:
  mov x0, xzr
  ret
  .cfi_endproc
  .size \name, . - \name
  .endm

#else
#error "the interposer knows x86-64 and aarch64"
#endif

  entry dlsym, sluice_real_dlsym
  entry dlvsym, sluice_real_dlvsym

  .section .note.GNU-stack, "", %progbits
