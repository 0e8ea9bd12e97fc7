/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The words that change a direction's impairments, and the settings as JSON: the text side of
 * impair.h. The grammar is one table of words, each with the function that reads its arguments;
 * the same words come from `wanem`'s own command line and from `wanem ctl SOCKET set`.
 */
#include "impair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char impair_usage[] =
	"  delay TIME                   each frame is late by so much: 20ms, 1.5s, 300us\n"
	"  jitter TIME [normal] [unordered]\n"
	"                               uniform in +-TIME (normal: deviation TIME); frames keep\n"
	"                               their order unless `unordered`\n"
	"  rate RATE                    100mbit, 2.5gbit, 64kbit; 0 or off: none\n"
	"  queue SIZE                   before the rate: 64kB or 200p (packets); 0: 100 ms of "
	"rate\n"
	"  overhead BYTES               what the rate charges per frame besides its bytes (24)\n"
	"  loss PERCENT [link]          1%; 0 or off: none\n"
	"  ge P R [1-H [1-K]] [link]    Gilbert-Elliott: 0.25% 25% [100% [0%]]; 0 or off: none\n"
	"  duplicate PERCENT [link]\n"
	"  corrupt PERCENT [from BYTE] [link]\n"
	"                               flips one bit at or behind BYTE of the frame (14)\n"
	"  reorder PERCENT [by COUNT|TIME] [link]\n"
	"                               held back until COUNT later frames have left (3), or TIME\n"
	"  seed NUMBER                  starts all random sequences of the direction afresh\n"
	"  clear                        back to no impairment, to be followed by others\n"
	"With `link`, only frames that --link-port is about are hit, and only they draw.\n";

struct reader {
	char *next; /* the rest of the words */
	struct impair_settings *s;
	bool reseed;
	char *err;
	size_t err_len;
};

static int __attribute__((format(printf, 2, 3))) fail(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->err, r->err_len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static char *peek(struct reader *r)
{
	r->next += strspn(r->next, " \t\n");
	return r->next;
}

static char *take(struct reader *r)
{
	char *word = peek(r), *end = word + strcspn(word, " \t\n");

	r->next = *end ? end + 1 : end;
	*end = '\0';
	return *word ? word : NULL;
}

/* Takes the next word if it is `word`. */
static bool accept(struct reader *r, const char *word)
{
	size_t len = strlen(word);
	char *p = peek(r);

	if (strncmp(p, word, len) != 0 || !strchr(" \t\n", p[len]))
		return false;
	r->next += len;
	return true;
}

/* The number in front, 0 or more, and where its unit begins; NULL: none or absurd. */
static const char *number(const char *text, double *value)
{
	char *end;

	if (!text || !strchr("0123456789.", *text))
		return NULL;
	*value = strtod(text, &end);
	if (end == text || !(*value >= 0 && *value < 1e18))
		return NULL;
	return end + strspn(end, " ");
}

struct unit {
	const char *name;
	double factor;
};

static bool with_unit(const char *text, const struct unit *units, double max, uint64_t *out)
{
	double value;
	const char *unit = number(text, &value);

	if (!unit)
		return false;
	if (!*unit && value == 0) {
		*out = 0;
		return true;
	}
	for (; units->name; units++) {
		if (strcasecmp(unit, units->name) != 0)
			continue;
		if (value * units->factor > max)
			return false;
		*out = (uint64_t)(value * units->factor + 0.5);
		return true;
	}
	return false;
}

bool parse_time_ns(const char *text, uint64_t *ns)
{
	static const struct unit units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {0}};

	return with_unit(text, units, 3600e9, ns);
}

bool parse_rate_bps(const char *text, uint64_t *bps)
{
	static const struct unit units[] = {{"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9},
		{"bit/s", 1}, {"kbit/s", 1e3}, {"mbit/s", 1e6}, {"gbit/s", 1e9}, {0}};

	/* A rate below 1 kbit/s would hold one frame for ten seconds: surely a slip. */
	return with_unit(text, units, 1e12, bps) && (*bps == 0 || *bps >= 1000);
}

static bool parse_percent(const char *text, double *p)
{
	double value;
	const char *unit = number(text, &value);

	if (!unit || value > 100 || (strcmp(unit, "%") != 0 && !(value == 0 && !*unit)))
		return false;
	*p = value / 100;
	return true;
}

static bool parse_count(const char *text, uint64_t max, uint64_t *count)
{
	char *end;

	if (!text || !strchr("0123456789", *text))
		return false;
	errno = 0;
	*count = strtoull(text, &end, 10);
	return !errno && end != text && !*end && *count <= max;
}

static bool is_off(const char *text)
{
	return text && (strcmp(text, "off") == 0 || strcmp(text, "0") == 0);
}

static int read_time(struct reader *r, const char *what, uint64_t *ns)
{
	const char *word = take(r);

	if (is_off(word)) {
		*ns = 0;
		return 0;
	}
	if (!parse_time_ns(word, ns))
		return fail(r, "%s %s: a time with its unit up to 1 hour is expected, like 20ms",
			what, word ? word : "(nothing)");
	return 0;
}

static int read_percent(struct reader *r, const char *what, double *p)
{
	const char *word = take(r);

	if (is_off(word)) {
		*p = 0;
		return 0;
	}
	if (!parse_percent(word, p))
		return fail(r, "%s %s: a percentage is expected, like 1%% or 0.25%%", what,
			word ? word : "(nothing)");
	return 0;
}

static int read_delay(struct reader *r)
{
	return read_time(r, "delay", &r->s->delay_ns);
}

static int read_jitter(struct reader *r)
{
	int rc = read_time(r, "jitter", &r->s->jitter_ns);

	r->s->jitter_normal = r->s->jitter_unordered = false;
	for (;;) {
		if (accept(r, "normal"))
			r->s->jitter_normal = true;
		else if (accept(r, "unordered"))
			r->s->jitter_unordered = true;
		else if (!accept(r, "uniform"))
			return rc;
	}
}

static int read_rate(struct reader *r)
{
	const char *word = take(r);

	if (is_off(word)) {
		r->s->rate_bps = 0;
		return 0;
	}
	if (!parse_rate_bps(word, &r->s->rate_bps))
		return fail(r, "rate %s: 1kbit to 1000gbit is expected, like 100mbit, or off",
			word ? word : "(nothing)");
	return 0;
}

static int read_queue(struct reader *r)
{
	static const struct unit packets[] = {{"p", 1}, {"packets", 1}, {0}};
	static const struct unit bytes[] = {{"B", 1}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {0}};
	const char *word = take(r);

	r->s->queue_packets = r->s->queue_bytes = 0;
	if (with_unit(word, packets, 1e9, &r->s->queue_packets) ||
		with_unit(word, bytes, 1e10, &r->s->queue_bytes))
		return 0;
	return fail(r, "queue %s: bytes or packets are expected, like 64kB or 200p",
		word ? word : "(nothing)");
}

static int read_overhead(struct reader *r)
{
	const char *word = take(r);

	if (!parse_count(word, 1000, &r->s->overhead_bytes))
		return fail(
			r, "overhead %s: 0 to 1000 bytes are expected", word ? word : "(nothing)");
	return 0;
}

static int read_chance(struct reader *r, const char *what, struct chance *c)
{
	int rc = read_percent(r, what, &c->p);

	c->link_only = accept(r, "link");
	return rc;
}

static int read_loss(struct reader *r)
{
	return read_chance(r, "loss", &r->s->loss);
}

static int read_duplicate(struct reader *r)
{
	return read_chance(r, "duplicate", &r->s->duplicate);
}

static bool at_number(struct reader *r)
{
	char c = *peek(r);

	return c && strchr("0123456789.", c);
}

static int read_ge(struct reader *r)
{
	struct impair_settings *s = r->s;
	int rc = read_percent(r, "ge P", &s->ge.p);

	s->ge_r = s->ge_bad = 1;
	s->ge_good = 0;
	if (!rc && s->ge.p > 0)
		rc = read_percent(r, "ge P R", &s->ge_r);
	if (!rc && at_number(r))
		rc = read_percent(r, "ge P R 1-H", &s->ge_bad);
	if (!rc && at_number(r))
		rc = read_percent(r, "ge P R 1-H 1-K", &s->ge_good);
	if (!rc && s->ge.p > 0 && s->ge_r <= 0)
		rc = fail(r, "ge P R: with R = 0 the bad state would never end");
	s->ge.link_only = accept(r, "link");
	return rc;
}

static int read_corrupt(struct reader *r)
{
	int rc = read_percent(r, "corrupt", &r->s->corrupt.p);

	r->s->corrupt_from_bytes = 14;
	if (!rc && accept(r, "from") && !parse_count(take(r), 9216, &r->s->corrupt_from_bytes))
		rc = fail(r, "corrupt PERCENT from BYTE: BYTE is a number, 0 to 9216");
	r->s->corrupt.link_only = accept(r, "link");
	return rc;
}

static int read_reorder(struct reader *r)
{
	struct impair_settings *s = r->s;
	int rc = read_percent(r, "reorder", &s->reorder.p);
	const char *word;

	s->reorder_ns = 0;
	s->reorder_packets = 3;
	if (!rc && accept(r, "by")) {
		word = take(r);
		if (parse_count(word, 1000, &s->reorder_packets) && s->reorder_packets)
			s->reorder_ns = 0;
		else if (parse_time_ns(word, &s->reorder_ns) && s->reorder_ns)
			s->reorder_packets = 0;
		else
			rc = fail(r,
				"reorder by %s: 1 to 1000 frames or a time like 5ms is expected",
				word ? word : "(nothing)");
	}
	s->reorder.link_only = accept(r, "link");
	return rc;
}

static int read_seed(struct reader *r)
{
	const char *word = take(r);

	if (!parse_count(word, UINT64_MAX, &r->s->seed))
		return fail(r, "seed %s: a number is expected", word ? word : "(nothing)");
	r->reseed = true;
	return 0;
}

static int read_clear(struct reader *r)
{
	struct impair none;

	impair_init(&none, 0, r->s->seed);
	*r->s = none.set;
	return 0;
}

static const struct {
	const char *word;
	int (*read)(struct reader *r);
} grammar[] = {
	{"delay", read_delay},
	{"jitter", read_jitter},
	{"rate", read_rate},
	{"queue", read_queue},
	{"overhead", read_overhead},
	{"loss", read_loss},
	{"ge", read_ge},
	{"duplicate", read_duplicate},
	{"corrupt", read_corrupt},
	{"reorder", read_reorder},
	{"seed", read_seed},
	{"clear", read_clear},
};

int impair_set(struct impair *im, char *words, char *err, size_t err_len)
{
	struct impair_settings s = im->set;
	struct reader r = {.next = words, .s = &s, .err = err, .err_len = err_len};
	size_t count = sizeof(grammar) / sizeof(grammar[0]);
	const char *word;

	while ((word = take(&r))) {
		size_t i = 0;
		int rc;

		while (i < count && strcmp(grammar[i].word, word) != 0)
			i++;
		if (i == count)
			return fail(&r,
				"\"%s\" is not known here; there are delay jitter rate queue "
				"overhead "
				"loss ge duplicate corrupt reorder seed clear",
				word);
		rc = grammar[i].read(&r);
		if (rc)
			return rc;
	}
	im->set = s;
	if (s.ge.p <= 0)
		im->ge_is_bad = false;
	if (r.reseed)
		impair_reseed(im);
	return 0;
}

static void print_chance(const char *name, const struct chance *c, FILE *out)
{
	fprintf(out, "\"%s\":%.10g,\"%s_link_only\":%s,", name, c->p, name,
		c->link_only ? "true" : "false");
}

void impair_print(const struct impair_settings *s, FILE *out)
{
	fprintf(out,
		"{\"delay_ns\":%" PRIu64 ",\"jitter_ns\":%" PRIu64 ",\"jitter_normal\":%s,"
		"\"jitter_unordered\":%s,",
		s->delay_ns, s->jitter_ns, s->jitter_normal ? "true" : "false",
		s->jitter_unordered ? "true" : "false");
	fprintf(out,
		"\"rate_bps\":%" PRIu64 ",\"queue_bytes\":%" PRIu64 ",\"queue_packets\":%" PRIu64
		",\"overhead_bytes\":%" PRIu64 ",",
		s->rate_bps, s->queue_packets && !s->queue_bytes ? 0 : impair_queue_bytes(s),
		s->queue_packets, s->overhead_bytes);
	print_chance("loss", &s->loss, out);
	print_chance("ge_p", &s->ge, out);
	fprintf(out, "\"ge_r\":%.10g,\"ge_loss_bad\":%.10g,\"ge_loss_good\":%.10g,", s->ge_r,
		s->ge_bad, s->ge_good);
	print_chance("duplicate", &s->duplicate, out);
	print_chance("corrupt", &s->corrupt, out);
	print_chance("reorder", &s->reorder, out);
	fprintf(out,
		"\"corrupt_from_bytes\":%" PRIu64 ",\"reorder_ns\":%" PRIu64
		",\"reorder_packets\":%" PRIu64 ",\"seed\":%" PRIu64 "}",
		s->corrupt_from_bytes, s->reorder_ns, s->reorder_packets, s->seed);
}
