//go:build !purego

#include "textflag.h"
#include "ghash_amd64.h"

// What is done once for each key, and once for each process.

// 1/x, mirrored: x^127 + x^6 + x + 1.
DATA inverse<>+0(SB)/8, $1
DATA inverse<>+8(SB)/8, $0xc200000000000000
GLOBL inverse<>(SB), RODATA|NOPTR, $16

// The permutation that reverses the bytes of a block.
DATA ·reverse+0(SB)/8, $0x08090a0b0c0d0e0f
DATA ·reverse+8(SB)/8, $0x0001020304050607
GLOBL ·reverse(SB), RODATA|NOPTR, $16

// What a word is multiplied by to be got rid of (ghash_amd64.h), in four lanes.
DATA ·poly+0(SB)/8, $0xc200000000000000
DATA ·poly+8(SB)/8, $0
DATA ·poly+16(SB)/8, $0xc200000000000000
DATA ·poly+24(SB)/8, $0
DATA ·poly+32(SB)/8, $0xc200000000000000
DATA ·poly+40(SB)/8, $0
DATA ·poly+48(SB)/8, $0xc200000000000000
DATA ·poly+56(SB)/8, $0
GLOBL ·poly(SB), RODATA|NOPTR, $64

// func powers(k *wideGCM)
TEXT ·powers(SB), NOSPLIT, $0-8
	MOVQ k+0(FP), AX

	// H = E(K, 0), with the last rounds where they are for every key.
	VMOVDQU KEYS+0x00(AX), X13
	MOVQ    $15, DX
	SUBQ    0(AX), DX
	SHLQ    $4, DX
	LEAQ    KEYS(AX), SI

next:
	VAESENC (SI)(DX*1), X13, X13
	ADDQ    $16, DX
	CMPQ    DX, $0xe0
	JB      next
	VAESENCLAST KEYS+0xe0(AX), X13, X13
	VPSHUFB     ·reverse(SB), X13, X13

	// Divided by x: each bit one up, and what falls out (x^0) becomes 1/x.
	VPSRAD  $31, X13, X8
	VPSHUFD $0xff, X8, X8
	VPAND   inverse<>(SB), X8, X8
	VPSRLQ  $63, X13, X9
	VPSLLDQ $8, X9, X9
	VPADDQ  X13, X13, X13
	VPOR    X9, X13, X13
	VPXOR   X8, X13, X13

	// The product of two that are divided by x is divided by x.
	VMOVDQA X13, X7
	LEAQ    H1(AX), SI
	MOVQ    $16, CX
	VMOVDQU X13, (SI)

power:
	MULX(X7)
	SUBQ    $16, SI
	VMOVDQU X13, (SI)
	DECQ    CX
	JNE     power
	VZEROUPPER
	RET

// func subWord(w uint32) uint32
TEXT ·subWord(SB), NOSPLIT, $0-12
	MOVL             w+0(FP), AX
	VMOVD            AX, X0
	VPSHUFD          $0, X0, X0
	VAESKEYGENASSIST $0, X0, X0
	VMOVD            X0, AX
	MOVL             AX, ret+8(FP)
	RET

// func cpuid7() (ecx uint32)
TEXT ·cpuid7(SB), NOSPLIT, $0-4
	MOVL $7, AX
	XORL CX, CX
	CPUID
	MOVL CX, ecx+0(FP)
	RET
