// What the assembly for two and for four blocks have in common.
//
// GHASH. GCM gives the first bit of a block to the coefficient of x^0. With its
// bytes reversed, bit 127 of the register is that of x^0 and bit 0 that of
// x^127: all is mirrored. A carry-less product of mirrored factors is the
// mirrored product, but for one bit: two factors of 128 bits make 255, and their
// mirror image stands one bit too low in the 256 of the result. So what we
// multiply by, the powers of H, are divided by x beforehand, which in the mirror
// shifts them up by one bit. (Gueron and Kounavis, "Intel Carry-Less
// Multiplication Instruction and its Usage for Computing the GCM Mode".)
//
// Let T3:T2:T1:T0 be the product in words of 64 bits. T1:T0 are the coefficients
// of x^128 and above. As x^128 = x^7 + x^2 + x + 1, a word is got rid of by adding
// it 128 bits higher, and times x, x^2 and x^7, which in the mirror are 127, 126 and
// 121 bits higher: the carry-less product with 2^63 + 2^62 + 2^57 (poly), 64
// bits up. This is done to T0, then to T1; T3:T2 remain.
//
// The reduction is linear. The products of 16 blocks with H^16 ... H^1 are added
// up first, lane by lane, and reduced once.
//
// Nothing here branches on, or addresses by, anything secret: only lengths.

// Where k holds the powers of H and the round keys.
#define H16 64
#define H12 128
#define H8  192
#define H4  256
#define H1  304
#define KEYS 320

// MULX sets X13 to the product of X13 and what is divided by x in h. h is not
// X8-X12.
#define MULX(h) \
	VPCLMULQDQ $0x00, h, X13, X8; \
	VPCLMULQDQ $0x11, h, X13, X10; \
	VPCLMULQDQ $0x01, h, X13, X9; \
	VPCLMULQDQ $0x10, h, X13, X12; \
	VPXOR      X12, X9, X9; \
	VPSLLDQ    $8, X9, X11; \
	VPSRLDQ    $8, X9, X9; \
	VPXOR      X11, X8, X8; \
	VPXOR      X9, X10, X10; \
	VPCLMULQDQ $0x00, ·poly(SB), X8, X11; \
	VPSHUFD    $0x4e, X8, X8; \
	VPXOR      X11, X8, X8; \
	VPCLMULQDQ $0x00, ·poly(SB), X8, X11; \
	VPSHUFD    $0x4e, X8, X8; \
	VPXOR      X11, X8, X8; \
	VPXOR      X10, X8, X13

// NONCE puts Y0, the nonce at R8 and a counter of 1, in X0, bytes reversed: the
// counter is the low word. It uses R11-R13. The nonce is loaded in the parts in which
// RFC 4106 puts it together, salt and IV: what was stored just before comes out of the
// store buffer only in one piece.
#define NONCE \
	MOVL    0(R8), R12; \
	MOVQ    4(R8), R13; \
	BSWAPL  R12; \
	BSWAPQ  R13; \
	SHLQ    $32, R12; \
	MOVQ    R13, R11; \
	SHRQ    $32, R11; \
	ORQ     R11, R12; \
	SHLQ    $32, R13; \
	ORQ     $1, R13; \
	VMOVQ   R13, X0; \
	VPINSRQ $1, R12, X0, X0
