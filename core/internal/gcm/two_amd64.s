//go:build !purego

#include "textflag.h"
#include "ghash_amd64.h"

// AES-GCM (NIST SP 800-38D), two blocks in each 256-bit register, eight registers
// at a time: for processors with VAES and without AVX-512. Every instruction here
// has a VEX encoding (TestNoAVX512 looks).
//
// Registers, from PROLOGUE on:
//
//	AX k    DI dst    SI src    DX bytes left    CX rounds
//	R10 bytes of additional data    BX bytes of text    R8 power of the next tail block
//	R9, R11-R13 scratch
//	Y0-Y7    counter blocks on their way through AES
//	Y8       ciphertext with reversed bytes, to be hashed
//	Y9       scratch
//	Y10 Y11 Y12    sums of the low, middle and high products
//	X13      the hash so far; zero above
//	Y14      a round key, or counter blocks
//	Y15      the permutation that reverses the bytes of each block
//
// On the stack:
//
//	buf      the last bytes of the text, and zeros
//	ctr      next two counter blocks, bytes reversed: the counter is the low word
//	mask     E(K, Y0), which masks the tag

// What is added to the counter of Y0 for the first two blocks, and from two to two.
DATA first2<>+0(SB)/8, $1
DATA first2<>+8(SB)/8, $0
DATA first2<>+16(SB)/8, $2
DATA first2<>+24(SB)/8, $0
GLOBL first2<>(SB), RODATA|NOPTR, $32

DATA two<>+0(SB)/8, $2
DATA two<>+8(SB)/8, $0
DATA two<>+16(SB)/8, $2
DATA two<>+24(SB)/8, $0
GLOBL two<>(SB), RODATA|NOPTR, $32

// From 64-n on: n bytes of ones, then zeros.
DATA window<>+0(SB)/8, $-1
DATA window<>+8(SB)/8, $-1
DATA window<>+16(SB)/8, $-1
DATA window<>+24(SB)/8, $-1
DATA window<>+32(SB)/8, $-1
DATA window<>+40(SB)/8, $-1
DATA window<>+48(SB)/8, $-1
DATA window<>+56(SB)/8, $-1
GLOBL window<>(SB), RODATA|NOPTR, $128

// --- AES ---

#define ROUND2(key) \
	VBROADCASTI128 KEYS+key(AX), Y14; \
	VAESENC        Y14, Y0, Y0; \
	VAESENC        Y14, Y1, Y1

#define ROUND8(key) \
	VBROADCASTI128 KEYS+key(AX), Y14; \
	VAESENC        Y14, Y0, Y0; \
	VAESENC        Y14, Y1, Y1; \
	VAESENC        Y14, Y2, Y2; \
	VAESENC        Y14, Y3, Y3; \
	VAESENC        Y14, Y4, Y4; \
	VAESENC        Y14, Y5, Y5; \
	VAESENC        Y14, Y6, Y6; \
	VAESENC        Y14, Y7, Y7

// EARLY does the rounds that only AES-192 and AES-256 have.
#define EARLY(ROUND, twelve, ten) \
	CMPQ CX, $12; \
	JB   ten; \
	JE   twelve; \
	ROUND(0x10); \
	ROUND(0x20); \
twelve: \
	ROUND(0x30); \
	ROUND(0x40); \
ten:

// LATE does the others but for the last.
#define LATE(ROUND) \
	ROUND(0x50); \
	ROUND(0x60); \
	ROUND(0x70); \
	ROUND(0x80); \
	ROUND(0x90); \
	ROUND(0xa0); \
	ROUND(0xb0); \
	ROUND(0xc0); \
	ROUND(0xd0)

// NEXT puts the next counter blocks in y.
#define NEXT(y) \
	VPSHUFB Y15, Y14, y; \
	VPADDD  two<>(SB), Y14, Y14

// NEXT2 and NEXT8 put the next 4 and 16 counter blocks, with the first round key
// added, in Y0-Y1 and Y0-Y7.
#define NEXT2 \
	VMOVDQU        ctr-96(SP), Y14; \
	NEXT(Y0); \
	NEXT(Y1); \
	VMOVDQU        Y14, ctr-96(SP); \
	VBROADCASTI128 KEYS(AX), Y14; \
	VPXOR          Y14, Y0, Y0; \
	VPXOR          Y14, Y1, Y1

#define NEXT8 \
	VMOVDQU        ctr-96(SP), Y14; \
	NEXT(Y0); \
	NEXT(Y1); \
	NEXT(Y2); \
	NEXT(Y3); \
	NEXT(Y4); \
	NEXT(Y5); \
	NEXT(Y6); \
	NEXT(Y7); \
	VMOVDQU        Y14, ctr-96(SP); \
	VBROADCASTI128 KEYS(AX), Y14; \
	VPXOR          Y14, Y0, Y0; \
	VPXOR          Y14, Y1, Y1; \
	VPXOR          Y14, Y2, Y2; \
	VPXOR          Y14, Y3, Y3; \
	VPXOR          Y14, Y4, Y4; \
	VPXOR          Y14, Y5, Y5; \
	VPXOR          Y14, Y6, Y6; \
	VPXOR          Y14, Y7, Y7

// LAST does the last round of y, adds the text at from and stores it at to.
#define LAST(from, y, to) \
	VAESENCLAST Y14, y, y; \
	VPXOR       from, y, y; \
	VMOVDQU     y, to

#define LAST2(from, from32, to, to32) \
	VBROADCASTI128 KEYS+0xe0(AX), Y14; \
	LAST(from, Y0, to); \
	LAST(from32, Y1, to32)

#define LAST8 \
	VBROADCASTI128 KEYS+0xe0(AX), Y14; \
	LAST(0x00(SI), Y0, 0x00(DI)); \
	LAST(0x20(SI), Y1, 0x20(DI)); \
	LAST(0x40(SI), Y2, 0x40(DI)); \
	LAST(0x60(SI), Y3, 0x60(DI)); \
	LAST(0x80(SI), Y4, 0x80(DI)); \
	LAST(0xa0(SI), Y5, 0xa0(DI)); \
	LAST(0xc0(SI), Y6, 0xc0(DI)); \
	LAST(0xe0(SI), Y7, 0xe0(DI))

// --- GHASH ---

// LOAD puts the blocks at from in Y8, to be hashed.
#define LOAD(from) \
	VMOVDQU from, Y8; \
	VPSHUFB Y15, Y8, Y8

// MUL sets the sums to the products of Y8, to which it adds the hash so far, with
// the powers at p.
#define MUL(p) \
	VPXOR      Y13, Y8, Y8; \
	VPCLMULQDQ $0x00, p, Y8, Y10; \
	VPCLMULQDQ $0x11, p, Y8, Y12; \
	VPCLMULQDQ $0x01, p, Y8, Y11; \
	VPCLMULQDQ $0x10, p, Y8, Y9; \
	VPXOR      Y9, Y11, Y11

// MULADD adds the products of Y8 with the powers at p to the sums.
#define MULADD(p) \
	VPCLMULQDQ $0x00, p, Y8, Y9; \
	VPXOR      Y9, Y10, Y10; \
	VPCLMULQDQ $0x11, p, Y8, Y9; \
	VPXOR      Y9, Y12, Y12; \
	VPCLMULQDQ $0x01, p, Y8, Y9; \
	VPXOR      Y9, Y11, Y11; \
	VPCLMULQDQ $0x10, p, Y8, Y9; \
	VPXOR      Y9, Y11, Y11

// HASHNEXT hashes the two blocks in y, and with the first of them the hash so far.
#define HASHNEXT(y, p) \
	VPSHUFB Y15, y, Y8; \
	VPXOR   Y13, Y8, Y8; \
	VPXOR   Y13, Y13, Y13; \
	MULADD(p)

// FOLD gets rid of the low word of Y10 and turns Y10 by one word.
#define FOLD \
	VPCLMULQDQ $0x00, ·poly(SB), Y10, Y9; \
	VPSHUFD    $0x4e, Y10, Y10; \
	VPXOR      Y9, Y10, Y10

// REDUCE leaves the hash of what the sums hold in X13.
#define REDUCE \
	VPSLLDQ      $8, Y11, Y9; \
	VPSRLDQ      $8, Y11, Y11; \
	VPXOR        Y9, Y10, Y10; \
	VPXOR        Y11, Y12, Y12; \
	FOLD; \
	FOLD; \
	VPXOR        Y12, Y10, Y10; \
	VEXTRACTI128 $1, Y10, X9; \
	VPXOR        X9, X10, X13

// HASH16 hashes the 16 blocks at at(reg).
#define HASH16(at, reg) \
	LOAD(at+0x00(reg)); \
	MUL(H16+0x00(AX)); \
	LOAD(at+0x20(reg)); \
	MULADD(H16+0x20(AX)); \
	LOAD(at+0x40(reg)); \
	MULADD(H16+0x40(AX)); \
	LOAD(at+0x60(reg)); \
	MULADD(H16+0x60(AX)); \
	LOAD(at+0x80(reg)); \
	MULADD(H16+0x80(AX)); \
	LOAD(at+0xa0(reg)); \
	MULADD(H16+0xa0(AX)); \
	LOAD(at+0xc0(reg)); \
	MULADD(H16+0xc0(AX)); \
	LOAD(at+0xe0(reg)); \
	MULADD(H16+0xe0(AX)); \
	REDUCE

// BOTH16 hashes the 16 blocks at at(reg), and does the rounds of 16 others
// meanwhile, but for the last.
#define BOTH16(at, reg, twelve, ten) \
	EARLY(ROUND8, twelve, ten); \
	ROUND8(0x50); \
	LOAD(at+0x00(reg)); \
	MUL(H16+0x00(AX)); \
	ROUND8(0x60); \
	LOAD(at+0x20(reg)); \
	MULADD(H16+0x20(AX)); \
	ROUND8(0x70); \
	LOAD(at+0x40(reg)); \
	MULADD(H16+0x40(AX)); \
	ROUND8(0x80); \
	LOAD(at+0x60(reg)); \
	MULADD(H16+0x60(AX)); \
	ROUND8(0x90); \
	LOAD(at+0x80(reg)); \
	MULADD(H16+0x80(AX)); \
	ROUND8(0xa0); \
	LOAD(at+0xa0(reg)); \
	MULADD(H16+0xa0(AX)); \
	ROUND8(0xb0); \
	LOAD(at+0xc0(reg)); \
	MULADD(H16+0xc0(AX)); \
	ROUND8(0xc0); \
	LOAD(at+0xe0(reg)); \
	MULADD(H16+0xe0(AX)); \
	ROUND8(0xd0); \
	REDUCE

// --- The parts of a packet ---

// PROLOGUE encrypts Y0, which is the nonce and a counter of 1 (SP 800-38D, section
// 7.1), and hashes the additional data.
#define PROLOGUE(twelve, ten, more, rest, odd, have, none) \
	VBROADCASTI128 ·reverse(SB), Y15; \
	MOVQ           0(AX), CX; \
	NONCE; \
	VPSHUFB        X15, X0, X14; \
	VINSERTI128    $1, X0, Y0, Y0; \
	VPADDD         first2<>(SB), Y0, Y0; \
	VMOVDQU        Y0, ctr-96(SP); \
	VPXOR          KEYS+0x00(AX), X14, X14; \
	CMPQ           CX, $12; \
	JB             ten; \
	JE             twelve; \
	VAESENC        KEYS+0x10(AX), X14, X14; \
	VAESENC        KEYS+0x20(AX), X14, X14; \
twelve: \
	VAESENC        KEYS+0x30(AX), X14, X14; \
	VAESENC        KEYS+0x40(AX), X14, X14; \
ten: \
	VAESENC        KEYS+0x50(AX), X14, X14; \
	VAESENC        KEYS+0x60(AX), X14, X14; \
	VAESENC        KEYS+0x70(AX), X14, X14; \
	VAESENC        KEYS+0x80(AX), X14, X14; \
	VAESENC        KEYS+0x90(AX), X14, X14; \
	VAESENC        KEYS+0xa0(AX), X14, X14; \
	VAESENC        KEYS+0xb0(AX), X14, X14; \
	VAESENC        KEYS+0xc0(AX), X14, X14; \
	VAESENC        KEYS+0xd0(AX), X14, X14; \
	VAESENCLAST    KEYS+0xe0(AX), X14, X14; \
	VMOVDQU        X14, mask-112(SP); \
	VPXOR          X13, X13, X13; \
	MOVQ           R10, R11; \
	TESTQ          R11, R11; \
	JEQ            none; \
	VMOVDQU        H1(AX), X7; \
more: \
	CMPQ           R11, $16; \
	JBE            rest; \
	VMOVDQU        (R9), X4; \
	VPSHUFB        X15, X4, X4; \
	VPXOR          X4, X13, X13; \
	MULX(X7); \
	ADDQ           $16, R9; \
	SUBQ           $16, R11; \
	JMP            more; \
rest: \
	CMPQ           R11, $12; \
	JNE            odd; \
	VMOVQ          (R9), X4; \
	VPINSRD        $2, 8(R9), X4, X4; \
	JMP            have; \
odd: \
	VPXOR          X4, X4, X4; \
	VMOVDQU        X4, buf-64(SP); \
	MOVQ           R9, R12; \
	LEAQ           buf-64(SP), R13; \
	CALL           copy<>(SB); \
	VMOVDQU        buf-64(SP), X4; \
have: \
	VPSHUFB        X15, X4, X4; \
	VPXOR          X4, X13, X13; \
	MULX(X7); \
none:

// LENGTHS starts the sums with the last block, the lengths in bits, times H. Where
// no text is left, the hash so far comes with it. It leaves the address of the
// power for the first of the blocks that are left in R8.
#define LENGTHS(some) \
	LEAQ       (BX*8), R11; \
	LEAQ       (R10*8), R12; \
	VMOVQ      R11, X8; \
	VPINSRQ    $1, R12, X8, X8; \
	TESTQ      DX, DX; \
	JNE        some; \
	VPXOR      X13, X8, X8; \
some: \
	VPCLMULQDQ $0x00, H1(AX), X8, X10; \
	VPCLMULQDQ $0x11, H1(AX), X8, X12; \
	VPCLMULQDQ $0x01, H1(AX), X8, X11; \
	VPCLMULQDQ $0x10, H1(AX), X8, X9; \
	VPXOR      X9, X11, X11; \
	LEAQ       15(DX), R11; \
	ANDQ       $~15, R11; \
	LEAQ       H1(AX), R8; \
	SUBQ       R11, R8

// FILL puts the last DX bytes, at most 63, and zeros in buf, and moves SI behind
// them.
#define FILL \
	VPXOR   Y0, Y0, Y0; \
	VMOVDQU Y0, buf-64(SP); \
	VMOVDQU Y0, buf-32(SP); \
	MOVQ    SI, R12; \
	LEAQ    buf-64(SP), R13; \
	MOVQ    DX, R11; \
	CALL    copy<>(SB); \
	MOVQ    R12, SI

// EMPTY takes DX bytes out of buf, and moves DI behind them.
#define EMPTY \
	LEAQ buf-64(SP), R12; \
	MOVQ DI, R13; \
	MOVQ DX, R11; \
	CALL copy<>(SB); \
	MOVQ R13, DI

// TAG leaves the tag in X0.
#define TAG \
	REDUCE; \
	VPSHUFB X15, X13, X0; \
	VPXOR   mask-112(SP), X0, X0

// copy moves R11 bytes, at most 63, from R12 to R13, and R12 and R13 behind them.
// It uses R9 and Y9.
TEXT copy<>(SB), NOSPLIT|NOFRAME, $0-0
	TESTQ   $32, R11
	JEQ     sixteen
	VMOVDQU (R12), Y9
	VMOVDQU Y9, (R13)
	ADDQ    $32, R12
	ADDQ    $32, R13

sixteen:
	TESTQ   $16, R11
	JEQ     eight
	VMOVDQU (R12), X9
	VMOVDQU X9, (R13)
	ADDQ    $16, R12
	ADDQ    $16, R13

eight:
	TESTQ $8, R11
	JEQ   four
	MOVQ  (R12), R9
	MOVQ  R9, (R13)
	ADDQ  $8, R12
	ADDQ  $8, R13

four:
	TESTQ $4, R11
	JEQ   two
	MOVL  (R12), R9
	MOVL  R9, (R13)
	ADDQ  $4, R12
	ADDQ  $4, R13

two:
	TESTQ $2, R11
	JEQ   one
	MOVW  (R12), R9
	MOVW  R9, (R13)
	ADDQ  $2, R12
	ADDQ  $2, R13

one:
	TESTQ $1, R11
	JEQ   done
	MOVB  (R12), R9
	MOVB  R9, (R13)
	INCQ  R12
	INCQ  R13

done:
	RET

// func seal2(k *wideGCM, dst, src *byte, n int, nonce, aad *byte, naad int)
TEXT ·seal2(SB), NOSPLIT, $112-56
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
	NEXT8
	EARLY(ROUND8, f12, f10)
	LATE(ROUND8)
	JMP  store

loop:
	NEXT8
	BOTH16(-0x100, DI, l12, l10)

store:
	LAST8
	ADDQ $256, SI
	ADDQ $256, DI
	SUBQ $256, DX
	CMPQ DX, $256
	JAE  loop
	HASH16(-0x100, DI)

tail:
	LENGTHS(some)

unit:
	// 64 bytes at a time; the processor works on several at once, for none waits
	// for the one before.
	CMPQ DX, $64
	JB   last
	NEXT2
	EARLY(ROUND2, u12, u10)
	LATE(ROUND2)
	LAST2(0x00(SI), 0x20(SI), 0x00(DI), 0x20(DI))
	HASHNEXT(Y0, 0x00(R8))
	HASHNEXT(Y1, 0x20(R8))
	ADDQ $64, R8
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $64, DX
	JMP  unit

last:
	TESTQ DX, DX
	JEQ   tag
	FILL
	NEXT2
	EARLY(ROUND2, p12, p10)
	LATE(ROUND2)
	LAST2(buf-64(SP), buf-32(SP), buf-64(SP), buf-32(SP))
	EMPTY
	LEAQ  window<>+64(SB), R12
	SUBQ  DX, R12
	VPAND 0x00(R12), Y0, Y0
	VPAND 0x20(R12), Y1, Y1
	HASHNEXT(Y0, 0x00(R8))
	HASHNEXT(Y1, 0x20(R8))

tag:
	TAG
	VMOVDQU X0, (DI)
	VZEROUPPER
	RET

// func open2(k *wideGCM, dst, src *byte, n int, nonce, aad *byte, naad int) int
TEXT ·open2(SB), NOSPLIT, $112-64
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
	NEXT8
	BOTH16(0, SI, l12, l10)
	LAST8
	ADDQ $256, SI
	ADDQ $256, DI
	SUBQ $256, DX
	CMPQ DX, $256
	JAE  loop

tail:
	LENGTHS(some)

unit:
	CMPQ    DX, $64
	JB      last
	VMOVDQU 0x00(SI), Y2
	VMOVDQU 0x20(SI), Y3
	HASHNEXT(Y2, 0x00(R8))
	HASHNEXT(Y3, 0x20(R8))
	NEXT2
	EARLY(ROUND2, u12, u10)
	LATE(ROUND2)
	LAST2(0x00(SI), 0x20(SI), 0x00(DI), 0x20(DI))
	ADDQ    $64, R8
	ADDQ    $64, SI
	ADDQ    $64, DI
	SUBQ    $64, DX
	JMP     unit

last:
	TESTQ   DX, DX
	JEQ     tag
	FILL
	VMOVDQU buf-64(SP), Y2
	VMOVDQU buf-32(SP), Y3
	HASHNEXT(Y2, 0x00(R8))
	HASHNEXT(Y3, 0x20(R8))
	NEXT2
	EARLY(ROUND2, p12, p10)
	LATE(ROUND2)
	LAST2(buf-64(SP), buf-32(SP), buf-64(SP), buf-32(SP))
	EMPTY

tag:
	TAG
	VPXOR  (SI), X0, X0
	XORL   R11, R11
	VPTEST X0, X0
	SETEQ  R11
	MOVQ   R11, ret+56(FP)
	VZEROUPPER
	RET
