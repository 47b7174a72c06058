/* A PKCS #11 module that does what a module should not: HOSTILE says what. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ulong;
static int is(const char *s) { const char *h = getenv("HOSTILE"); return h && !strcmp(h, s); }

static ulong no(void) { return 0x54; }
static ulong init(void *a) {
	if (is("crash")) *(volatile int *)0 = 1;
	if (is("hang")) for (;;) sleep(1);
	printf("chatter on standard output\n");
	fflush(stdout);
	return 0;
}
static ulong fin(void *a) { return 0; }
static ulong slots(unsigned char present, ulong *list, ulong *n) {
	if (!list) { *n = is("many") ? ~0ul : 1; return 0; }
	list[0] = 7;
	*n = is("many") ? 1000000 : 1;
	return 0;
}
static ulong slotinfo(ulong s, unsigned char *b) { memset(b, 0xff, 96); return 0; }
static ulong tokeninfo(ulong s, unsigned char *b) {
	memset(b, 0x1b, 96);
	*(ulong *)(b + 96) = 0x40d;
	return 0;
}
static ulong opens(ulong s, ulong f, void *a, void *n, ulong *h) { *h = 1; return 0; }
static ulong closes(ulong h) { return 0; }
static ulong sinfo(ulong h, ulong *i) { i[1] = 99; return 0; }
static ulong login(ulong h, ulong u, unsigned char *p, ulong n) { return is("login") ? (sleep(60), 0) : 0; }
static ulong finit(ulong h, void *t, ulong n) { return 0; }
static ulong find(ulong h, ulong *o, ulong max, ulong *n) {
	for (ulong i = 0; i < max; i++) o[i] = i;
	*n = is("many") ? ~0ul : max;
	return 0;
}
struct attr { ulong type; void *value; ulong len; };
static ulong attr(ulong h, ulong o, struct attr *t, ulong n) {
	ulong want = is("long") ? 1ul << 40 : 600;
	if (t->value) {
		if (is("grow")) { t->len = 1ul << 40; return 0; }
		memset(t->value, 'x', want < t->len ? want : t->len);
	}
	t->len = want;
	return 0;
}

static struct { unsigned char major, minor; void *f[68]; } table = {2, 40};

ulong C_GetFunctionList(void **out) {
	for (int i = 0; i < 68; i++) table.f[i] = no;
	table.f[0] = init; table.f[1] = fin; table.f[4] = slots; table.f[5] = slotinfo; table.f[6] = tokeninfo;
	table.f[12] = opens; table.f[13] = closes; table.f[15] = sinfo; table.f[18] = login;
	table.f[24] = attr; table.f[26] = finit; table.f[27] = find; table.f[28] = closes;
	*out = &table;
	return is("none") ? 0x30 : 0;
}
