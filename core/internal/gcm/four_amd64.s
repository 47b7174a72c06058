//go:build !purego

#include "textflag.h"
#include "ghash_amd64.h"

// AES-GCM (NIST SP 800-38D), four blocks in each 512-bit register, four
// registers at a time.
//
// Registers, from PROLOGUE on:
//
//	AX k    DI dst    SI src    DX bytes left    CX rounds
//	R10 bytes of additional data    BX bytes of text    R8, R9, R11-R13 scratch
//	Z0-Z3    counter blocks on their way through AES
//	Z4-Z7    ciphertext with reversed bytes, to be hashed
//	Z8 Z9 Z10    sums of the low, middle and high products
//	Z11 Z12  scratch
//	X13      the hash so far; zero above
//	Z14      next four counter blocks, bytes reversed: the counter is the low word
//	X15      E(K, Y0), which masks the tag
//	Z16-Z30  round keys, in all lanes: the first, then the others, as k.keys
//	Z31      the permutation that reverses the bytes of each block

// What is added to the counter of Y0 for the first four blocks, and from four to four.
DATA first<>+0(SB)/8, $1
DATA first<>+8(SB)/8, $0
DATA first<>+16(SB)/8, $2
DATA first<>+24(SB)/8, $0
DATA first<>+32(SB)/8, $3
DATA first<>+40(SB)/8, $0
DATA first<>+48(SB)/8, $4
DATA first<>+56(SB)/8, $0
GLOBL first<>(SB), RODATA|NOPTR, $64

DATA four<>+0(SB)/8, $4
DATA four<>+8(SB)/8, $0
DATA four<>+16(SB)/8, $4
DATA four<>+24(SB)/8, $0
DATA four<>+32(SB)/8, $4
DATA four<>+40(SB)/8, $0
DATA four<>+48(SB)/8, $4
DATA four<>+56(SB)/8, $0
GLOBL four<>(SB), RODATA|NOPTR, $64

// --- AES ---

#define ROUND1(key) \
	VAESENC key, Z0, Z0

#define ROUND2(key) \
	VAESENC key, Z0, Z0; \
	VAESENC key, Z1, Z1

#define ROUND4(key) \
	VAESENC key, Z0, Z0; \
	VAESENC key, Z1, Z1; \
	VAESENC key, Z2, Z2; \
	VAESENC key, Z3, Z3

// EARLY does the rounds that only AES-192 and AES-256 have.
#define EARLY(ROUND, twelve, ten) \
	CMPQ CX, $12; \
	JB   ten; \
	JE   twelve; \
	ROUND(Z17); \
	ROUND(Z18); \
twelve: \
	ROUND(Z19); \
	ROUND(Z20); \
ten:

// LATE does the others but for the last.
#define LATE(ROUND) \
	ROUND(Z21); \
	ROUND(Z22); \
	ROUND(Z23); \
	ROUND(Z24); \
	ROUND(Z25); \
	ROUND(Z26); \
	ROUND(Z27); \
	ROUND(Z28); \
	ROUND(Z29)

// NEXT puts the next counter blocks, with the first round key added, in z.
#define NEXT(z) \
	VPSHUFB Z31, Z14, z; \
	VPADDD  four<>(SB), Z14, Z14; \
	VPXORQ  Z16, z, z

#define NEXT4 \
	NEXT(Z0); \
	NEXT(Z1); \
	NEXT(Z2); \
	NEXT(Z3)

// LAST does the last round of z and adds the text at from.
#define LAST(from, z) \
	VAESENCLAST Z30, z, z; \
	VPXORQ      from, z, z

// --- GHASH ---

// MUL sets the sums to the products of z with the powers at p.
#define MUL(p, z) \
	VMOVDQU64  p, Z11; \
	VPCLMULQDQ $0x00, Z11, z, Z8; \
	VPCLMULQDQ $0x11, Z11, z, Z10; \
	VPCLMULQDQ $0x01, Z11, z, Z9; \
	VPCLMULQDQ $0x10, Z11, z, Z12; \
	VPXORQ     Z12, Z9, Z9

// MULADD adds the products of z with the powers at p to the sums.
#define MULADD(p, z) \
	VMOVDQU64  p, Z11; \
	VPCLMULQDQ $0x00, Z11, z, Z12; \
	VPXORQ     Z12, Z8, Z8; \
	VPCLMULQDQ $0x11, Z11, z, Z12; \
	VPXORQ     Z12, Z10, Z10; \
	VPCLMULQDQ $0x01, Z11, z, Z12; \
	VPCLMULQDQ $0x10, Z11, z, Z11; \
	VPTERNLOGQ $0x96, Z11, Z12, Z9

// FOLD gets rid of the low word of Z8 and turns Z8 by one word.
#define FOLD \
	VPCLMULQDQ $0x00, ·poly(SB), Z8, Z11; \
	VPSHUFD    $0x4e, Z8, Z8; \
	VPXORQ     Z11, Z8, Z8

// MIDDLE adds the middle sum to the two others.
#define MIDDLE \
	VPSLLDQ $8, Z9, Z11; \
	VPSRLDQ $8, Z9, Z9; \
	VPXORQ  Z11, Z8, Z8; \
	VPXORQ  Z9, Z10, Z10

// LANES adds what is left of the four lanes up to the hash so far.
#define LANES \
	VPXORQ        Z10, Z8, Z8; \
	VEXTRACTI64X4 $1, Z8, Y11; \
	VPXOR         Y11, Y8, Y8; \
	VEXTRACTI128  $1, Y8, X11; \
	VPXOR         X11, X8, X13

#define REDUCE \
	MIDDLE; \
	FOLD; \
	FOLD; \
	LANES

// HASH16 hashes 16 blocks.
#define HASH16 \
	VPXORQ Z13, Z4, Z4; \
	MUL(H16(AX), Z4); \
	MULADD(H12(AX), Z5); \
	MULADD(H8(AX), Z6); \
	MULADD(H4(AX), Z7); \
	REDUCE

// BOTH16 hashes 16 blocks and does the rounds of 16 others meanwhile, but for
// the last.
#define BOTH16(twelve, ten) \
	EARLY(ROUND4, twelve, ten); \
	ROUND4(Z21); \
	VPXORQ Z13, Z4, Z4; \
	MUL(H16(AX), Z4); \
	ROUND4(Z22); \
	MULADD(H12(AX), Z5); \
	ROUND4(Z23); \
	MULADD(H8(AX), Z6); \
	ROUND4(Z24); \
	MULADD(H4(AX), Z7); \
	ROUND4(Z25); \
	MIDDLE; \
	ROUND4(Z26); \
	FOLD; \
	ROUND4(Z27); \
	FOLD; \
	ROUND4(Z28); \
	LANES; \
	ROUND4(Z29)

// --- The parts of a packet ---

// PROLOGUE loads what is the same for all blocks, encrypts Y0, which is the nonce
// and a counter of 1 (SP 800-38D, section 7.1), and hashes the additional data.
//
// Additional data of 12 bytes (RFC 4106, section 5, with ESN) is loaded in 8 and 4,
// for the reason that NONCE has.
#define PROLOGUE(twelve, ten, more, rest, odd, have, none) \
	VBROADCASTI32X4 KEYS+0x00(AX), Z16; \
	VBROADCASTI32X4 KEYS+0x10(AX), Z17; \
	VBROADCASTI32X4 KEYS+0x20(AX), Z18; \
	VBROADCASTI32X4 KEYS+0x30(AX), Z19; \
	VBROADCASTI32X4 KEYS+0x40(AX), Z20; \
	VBROADCASTI32X4 KEYS+0x50(AX), Z21; \
	VBROADCASTI32X4 KEYS+0x60(AX), Z22; \
	VBROADCASTI32X4 KEYS+0x70(AX), Z23; \
	VBROADCASTI32X4 KEYS+0x80(AX), Z24; \
	VBROADCASTI32X4 KEYS+0x90(AX), Z25; \
	VBROADCASTI32X4 KEYS+0xa0(AX), Z26; \
	VBROADCASTI32X4 KEYS+0xb0(AX), Z27; \
	VBROADCASTI32X4 KEYS+0xc0(AX), Z28; \
	VBROADCASTI32X4 KEYS+0xd0(AX), Z29; \
	VBROADCASTI32X4 KEYS+0xe0(AX), Z30; \
	VBROADCASTI32X4 ·reverse(SB), Z31; \
	MOVQ            0(AX), CX; \
	NONCE; \
	VSHUFI32X4      $0, Z0, Z0, Z14; \
	VPADDD          first<>(SB), Z14, Z14; \
	VPSHUFB         X31, X0, X15; \
	VPXORQ          X16, X15, X15; \
	CMPQ            CX, $12; \
	JB              ten; \
	JE              twelve; \
	VAESENC         X17, X15, X15; \
	VAESENC         X18, X15, X15; \
twelve: \
	VAESENC         X19, X15, X15; \
	VAESENC         X20, X15, X15; \
ten: \
	VAESENC         X21, X15, X15; \
	VAESENC         X22, X15, X15; \
	VAESENC         X23, X15, X15; \
	VAESENC         X24, X15, X15; \
	VAESENC         X25, X15, X15; \
	VAESENC         X26, X15, X15; \
	VAESENC         X27, X15, X15; \
	VAESENC         X28, X15, X15; \
	VAESENC         X29, X15, X15; \
	VAESENCLAST     X30, X15, X15; \
	VPXOR           X13, X13, X13; \
	MOVQ            R10, R11; \
	TESTQ           R11, R11; \
	JEQ             none; \
	VMOVDQU         H1(AX), X7; \
more: \
	CMPQ            R11, $16; \
	JBE             rest; \
	VMOVDQU         (R9), X4; \
	VPSHUFB         X31, X4, X4; \
	VPXOR           X4, X13, X13; \
	MULX(X7); \
	ADDQ            $16, R9; \
	SUBQ            $16, R11; \
	JMP             more; \
rest: \
	CMPQ            R11, $12; \
	JNE             odd; \
	VMOVQ           (R9), X4; \
	VPINSRD         $2, 8(R9), X4, X4; \
	JMP             have; \
odd: \
	MOVQ            $-1, R12; \
	BZHIQ           R11, R12, R12; \
	KMOVQ           R12, K1; \
	VMOVDQU8.Z      (R9), K1, X4; \
have: \
	VPSHUFB         X31, X4, X4; \
	VPXOR           X4, X13, X13; \
	MULX(X7); \
none:

// LENGTHS starts the sums with the last block, the lengths in bits, times H. It
// leaves the address of the power for the first of the blocks that are left in R8.
#define LENGTHS \
	LEAQ       (BX*8), R11; \
	LEAQ       (R10*8), R12; \
	VMOVQ      R11, X12; \
	VPINSRQ    $1, R12, X12, X12; \
	VMOVDQU    H1(AX), X11; \
	VPCLMULQDQ $0x00, X11, X12, X8; \
	VPCLMULQDQ $0x11, X11, X12, X10; \
	VPCLMULQDQ $0x01, X11, X12, X9; \
	VPCLMULQDQ $0x10, X11, X12, X12; \
	VPXOR      X12, X9, X9; \
	LEAQ       15(DX), R11; \
	ANDQ       $~15, R11; \
	LEAQ       H1(AX), R8; \
	SUBQ       R11, R8

// MASK sets k to the first n bytes of a register, n in R11 and at most 255; more
// than 64 are all.
#define MASK(k) \
	MOVQ  $-1, R12; \
	BZHIQ R11, R12, R12; \
	KMOVQ R12, k

// TAG leaves the tag in X0.
#define TAG \
	REDUCE; \
	VPSHUFB X31, X13, X0; \
	VPXOR   X15, X0, X0

// func seal4(k *wideGCM, dst, src *byte, n int, nonce, aad *byte, naad int)
TEXT ·seal4(SB), NOSPLIT, $0-56
	MOVQ k+0(FP), AX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
	MOVQ n+24(FP), DX
	MOVQ nonce+32(FP), R8
	MOVQ aad+40(FP), R9
	MOVQ naad+48(FP), R10
	MOVQ DX, BX
	PROLOGUE(y12, y10, more, rest, odd, have, none)

	CMPQ DX, $256
	JB   tail

	// The hash is 256 bytes behind the cipher, and interleaved with it.
	NEXT4
	EARLY(ROUND4, f12, f10)
	LATE(ROUND4)
	JMP  store

loop:
	NEXT4
	BOTH16(l12, l10)

store:
	LAST(0x00(SI), Z0)
	LAST(0x40(SI), Z1)
	LAST(0x80(SI), Z2)
	LAST(0xc0(SI), Z3)
	VMOVDQU64 Z0, 0x00(DI)
	VMOVDQU64 Z1, 0x40(DI)
	VMOVDQU64 Z2, 0x80(DI)
	VMOVDQU64 Z3, 0xc0(DI)
	VPSHUFB   Z31, Z0, Z4
	VPSHUFB   Z31, Z1, Z5
	VPSHUFB   Z31, Z2, Z6
	VPSHUFB   Z31, Z3, Z7
	ADDQ      $256, SI
	ADDQ      $256, DI
	SUBQ      $256, DX
	CMPQ      DX, $256
	JAE       loop
	HASH16

tail:
	LENGTHS
	MOVQ DX, R11
	CMPQ DX, $64
	JBE  tail1
	CMPQ DX, $128
	JBE  tail2

	// 129 to 255 bytes.
	NEXT4
	EARLY(ROUND4, a12, a10)
	LATE(ROUND4)
	SUBQ        $128, R11
	MASK(K1)
	MOVQ        $0, R13
	SUBQ        $64, R11
	CMOVQLT     R13, R11
	MASK(K2)
	VMOVDQU8.Z  0x80(SI), K1, Z6
	VMOVDQU8.Z  0xc0(SI), K2, Z7
	LAST(0x00(SI), Z0)
	LAST(0x40(SI), Z1)
	LAST(Z6, Z2)
	LAST(Z7, Z3)
	VMOVDQU64   Z0, 0x00(DI)
	VMOVDQU64   Z1, 0x40(DI)
	VMOVDQU8    Z2, K1, 0x80(DI)
	VMOVDQU8    Z3, K2, 0xc0(DI)
	VMOVDQU8.Z  Z2, K1, Z2
	VMOVDQU8.Z  Z3, K2, Z3
	VPSHUFB     Z31, Z0, Z4
	VPSHUFB     Z31, Z1, Z5
	VPSHUFB     Z31, Z2, Z6
	VPSHUFB     Z31, Z3, Z7
	VPXORQ      Z13, Z4, Z4
	MULADD(0x00(R8), Z4)
	MULADD(0x40(R8), Z5)
	MULADD(0x80(R8), Z6)
	MULADD(0xc0(R8), Z7)
	JMP         tag

tail2:
	// 65 to 128 bytes.
	NEXT(Z0)
	NEXT(Z1)
	EARLY(ROUND2, b12, b10)
	LATE(ROUND2)
	SUBQ       $64, R11
	MASK(K1)
	VMOVDQU8.Z 0x40(SI), K1, Z5
	LAST(0x00(SI), Z0)
	LAST(Z5, Z1)
	VMOVDQU64  Z0, 0x00(DI)
	VMOVDQU8   Z1, K1, 0x40(DI)
	VMOVDQU8.Z Z1, K1, Z1
	VPSHUFB    Z31, Z0, Z4
	VPSHUFB    Z31, Z1, Z5
	VPXORQ     Z13, Z4, Z4
	MULADD(0x00(R8), Z4)
	MULADD(0x40(R8), Z5)
	JMP        tag

tail1:
	// 0 to 64 bytes. With none, the hash so far takes the place of a block that
	// is not there, and so is multiplied by H together with the lengths.
	NEXT(Z0)
	EARLY(ROUND1, c12, c10)
	LATE(ROUND1)
	MASK(K1)
	VMOVDQU8.Z (SI), K1, Z4
	LAST(Z4, Z0)
	VMOVDQU8   Z0, K1, (DI)
	VMOVDQU8.Z Z0, K1, Z0
	VPSHUFB    Z31, Z0, Z4
	VPXORQ     Z13, Z4, Z4
	MULADD(0x00(R8), Z4)

tag:
	TAG
	VMOVDQU X0, (DI)(DX*1)
	VZEROUPPER
	RET

// func open4(k *wideGCM, dst, src *byte, n int, nonce, aad *byte, naad int) int
TEXT ·open4(SB), NOSPLIT, $0-64
	MOVQ k+0(FP), AX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
	MOVQ n+24(FP), DX
	MOVQ nonce+32(FP), R8
	MOVQ aad+40(FP), R9
	MOVQ naad+48(FP), R10
	MOVQ DX, BX
	PROLOGUE(y12, y10, more, rest, odd, have, none)

	CMPQ DX, $256
	JB   tail

loop:
	VMOVDQU64 0x00(SI), Z4
	VMOVDQU64 0x40(SI), Z5
	VMOVDQU64 0x80(SI), Z6
	VMOVDQU64 0xc0(SI), Z7
	VPSHUFB   Z31, Z4, Z4
	VPSHUFB   Z31, Z5, Z5
	VPSHUFB   Z31, Z6, Z6
	VPSHUFB   Z31, Z7, Z7
	NEXT4
	BOTH16(l12, l10)
	LAST(0x00(SI), Z0)
	LAST(0x40(SI), Z1)
	LAST(0x80(SI), Z2)
	LAST(0xc0(SI), Z3)
	VMOVDQU64 Z0, 0x00(DI)
	VMOVDQU64 Z1, 0x40(DI)
	VMOVDQU64 Z2, 0x80(DI)
	VMOVDQU64 Z3, 0xc0(DI)
	ADDQ      $256, SI
	ADDQ      $256, DI
	SUBQ      $256, DX
	CMPQ      DX, $256
	JAE       loop

tail:
	LENGTHS
	MOVQ DX, R11
	CMPQ DX, $64
	JBE  tail1
	CMPQ DX, $128
	JBE  tail2

	SUBQ       $128, R11
	MASK(K1)
	MOVQ       $0, R13
	SUBQ       $64, R11
	CMOVQLT    R13, R11
	MASK(K2)
	VMOVDQU64  0x00(SI), Z4
	VMOVDQU64  0x40(SI), Z5
	VMOVDQU8.Z 0x80(SI), K1, Z6
	VMOVDQU8.Z 0xc0(SI), K2, Z7
	VPSHUFB    Z31, Z4, Z4
	VPSHUFB    Z31, Z5, Z5
	VPSHUFB    Z31, Z6, Z6
	VPSHUFB    Z31, Z7, Z7
	VPXORQ     Z13, Z4, Z4
	NEXT4
	EARLY(ROUND4, a12, a10)
	MULADD(0x00(R8), Z4)
	MULADD(0x40(R8), Z5)
	MULADD(0x80(R8), Z6)
	MULADD(0xc0(R8), Z7)
	LATE(ROUND4)
	VMOVDQU8.Z 0x80(SI), K1, Z6
	VMOVDQU8.Z 0xc0(SI), K2, Z7
	LAST(0x00(SI), Z0)
	LAST(0x40(SI), Z1)
	LAST(Z6, Z2)
	LAST(Z7, Z3)
	VMOVDQU64  Z0, 0x00(DI)
	VMOVDQU64  Z1, 0x40(DI)
	VMOVDQU8   Z2, K1, 0x80(DI)
	VMOVDQU8   Z3, K2, 0xc0(DI)
	JMP        tag

tail2:
	SUBQ       $64, R11
	MASK(K1)
	VMOVDQU64  0x00(SI), Z4
	VMOVDQU8.Z 0x40(SI), K1, Z7
	VPSHUFB    Z31, Z4, Z4
	VPSHUFB    Z31, Z7, Z5
	VPXORQ     Z13, Z4, Z4
	NEXT(Z0)
	NEXT(Z1)
	EARLY(ROUND2, b12, b10)
	MULADD(0x00(R8), Z4)
	MULADD(0x40(R8), Z5)
	LATE(ROUND2)
	LAST(0x00(SI), Z0)
	LAST(Z7, Z1)
	VMOVDQU64  Z0, 0x00(DI)
	VMOVDQU8   Z1, K1, 0x40(DI)
	JMP        tag

tail1:
	MASK(K1)
	VMOVDQU8.Z (SI), K1, Z7
	VPSHUFB    Z31, Z7, Z4
	VPXORQ     Z13, Z4, Z4
	NEXT(Z0)
	EARLY(ROUND1, c12, c10)
	MULADD(0x00(R8), Z4)
	LATE(ROUND1)
	LAST(Z7, Z0)
	VMOVDQU8   Z0, K1, (DI)

tag:
	TAG
	VPXOR   (SI)(DX*1), X0, X0
	XORL    R11, R11
	VPTEST  X0, X0
	SETEQ   R11
	MOVQ    R11, ret+56(FP)
	VZEROUPPER
	RET
