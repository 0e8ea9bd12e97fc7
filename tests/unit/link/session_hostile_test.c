/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link/session.c against messages that no honest peer sends: wrong keys, replays, reflections,
 * damage and peers that do not fit. Two ends that are up stay up, with the same keys (world.h).
 */
#include <errno.h>

#include "tests/unit/link/world.h"

static void test_wrong_key(void)
{
	set_up(1);
	w.end[1].config.key = (const uint8_t *)"correct horse battery stapler";
	w.end[1].config.key_len = 29;
	boot(0);
	boot(1);
	run(w.now_ns + 5 * SECOND);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(w.end[i].s.state, LINK_SESSION_DOWN);
		CU_ASSERT_EQUAL(w.end[i].s.session_id, 0);
		CU_ASSERT(w.end[i].s.hellos_refused > 20);
		CU_ASSERT(strstr(w.end[i].s.error, "key") != NULL);
	}
	/* Corrected. */
	w.end[1].config.key = w.end[0].config.key;
	w.end[1].config.key_len = w.end[0].config.key_len;
	boot(1);
	run(w.now_ns + SECOND);
	CU_ASSERT(both_up() && agree());

	/* A third party with another key changes nothing for a session that is up. */
	struct link_session third = {0};
	struct link_session_config c = w.end[1].config;
	uint8_t out[LINK_MESSAGE_MAX];

	c.key_len--;
	CU_ASSERT_EQUAL(link_session_init(&third, &c, w.now_ns), 0);
	int len = link_session_tick(&third, w.now_ns, out, sizeof(out));

	CU_ASSERT_EQUAL(link_session_receive(&w.end[0].s, out, (size_t)len, w.now_ns), -EACCES);
	CU_ASSERT(w.end[0].s.alive && w.end[0].s.error[0] == '\0');
}

/* Everything that was ever said, to either end, again and again. */
static void test_replay(void)
{
	uint64_t keys[2], ids[2], refused;

	start(3);
	for (int k = 0; k < 6; k++) {
		run(w.now_ns + 2 * SECOND);
		boot(k & 1);
		run(w.now_ns + SECOND);
	}
	CU_ASSERT_FATAL(both_up());
	for (int i = 0; i < 2; i++) {
		keys[i] = w.end[i].s.tx_key;
		ids[i] = w.end[i].s.session_id;
	}
	int recorded = w.recorded;

	CU_ASSERT(recorded > 200);
	refused = w.end[0].s.hellos_refused;
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < recorded; i++) {
			int n = round == 1 ? recorded - 1 - i
					   : (int)(data_next(&w.seed) % (uint64_t)recorded);
			struct message m = w.record[n];

			put(m.to, w.now_ns, m.bytes, m.len);
			put(!m.to, w.now_ns, m.bytes, m.len); /* and back to its sender */
			run(w.now_ns + 7 * MS);
			CU_ASSERT(both_up());
		}
	CU_ASSERT(w.end[0].s.hellos_refused > refused);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(w.end[i].s.tx_key, keys[i]);
		CU_ASSERT_EQUAL(w.end[i].s.session_id, ids[i]);
	}

	/* A dead peer is not brought to life by its recorded words. */
	w.end[1].off = true;
	run(w.now_ns + 2 * SECOND);
	CU_ASSERT(!w.end[0].s.alive);
	for (int i = 0; i < recorded; i++) {
		put(w.record[i].to, w.now_ns, w.record[i].bytes, w.record[i].len);
		run(w.now_ns + 7 * MS);
		CU_ASSERT(!w.end[0].s.alive);
	}
	/* Nor does a fresh end take them for a peer. */
	boot(0);
	for (int i = 0; i < recorded; i++) {
		put(w.record[i].to, w.now_ns, w.record[i].bytes, w.record[i].len);
		run(w.now_ns + 7 * MS);
		CU_ASSERT(!w.end[0].s.alive && w.end[0].s.session_id == 0);
	}
	/* While they are being played, the real one gets through. */
	boot(1);
	for (int i = 0; i < 300; i++) {
		struct message m = w.record[data_next(&w.seed) % (uint64_t)recorded];

		put(m.to, w.now_ns, m.bytes, m.len);
		run(w.now_ns + 20 * MS);
	}
	CU_ASSERT(both_up() && agree());
}

/* Hundreds of replayed callers a second do not keep out the real one for long. */
static void test_replay_flood(void)
{
	for (uint64_t seed = 0; seed < 8; seed++) {
		set_up(seed);
		for (int k = 0; k < 40; k++) {
			boot(k & 1);
			run(w.now_ns + 200 * MS);
		}
		int recorded = w.recorded, i;

		boot(0);
		boot(1);
		for (i = 0; i < 10000 && !both_up(); i++) {
			struct message m = w.record[data_next(&w.seed) % (uint64_t)recorded];

			put(m.to, w.now_ns, m.bytes, m.len);
			run(w.now_ns + 2 * MS);
		}
		CU_ASSERT(both_up() && agree());
	}
}

/* An older hello that comes late is counted, but what it says is out of date. */
static void test_overtaken(void)
{
	uint8_t first[LINK_MESSAGE_MAX], second[LINK_MESSAGE_MAX];
	struct link_session *a, *b;
	int first_len, second_len;
	uint64_t now, reordered;

	start(1);
	a = &w.end[0].s;
	b = &w.end[1].s;
	now = link_session_next_ns(b);
	first_len = link_session_tick(b, now, first, sizeof(first));
	second_len = link_session_tick(b, now + LINK_HELLO_NS, second, sizeof(second));
	CU_ASSERT_FATAL(first_len > 0 && second_len > 0);
	reordered = a->control.reordered;
	now = w.now_ns + 100 * MS;
	CU_ASSERT_EQUAL(link_session_receive(a, second, (size_t)second_len, now), 0);
	CU_ASSERT_EQUAL(
		link_session_receive(a, first, (size_t)first_len, now + 100 * MS), -EALREADY);
	CU_ASSERT_EQUAL(a->control.reordered, reordered + 1);
	CU_ASSERT_EQUAL(a->current.heard_ns, now);
	CU_ASSERT_EQUAL(link_session_receive(a, second, (size_t)second_len, now), -EALREADY);
	CU_ASSERT_EQUAL(link_session_receive(a, first, (size_t)first_len, now), -EALREADY);

	/* Our own words, of either kind, are no peer's. */
	first_len = link_session_tick(a, link_session_next_ns(a), first, sizeof(first));
	CU_ASSERT_EQUAL(link_session_receive(a, first, (size_t)first_len, now), -EALREADY);
	boot(0);
	first_len = link_session_tick(a, w.now_ns, first, sizeof(first));
	CU_ASSERT_EQUAL(link_session_receive(a, first, (size_t)first_len, w.now_ns), -EALREADY);
	CU_ASSERT_EQUAL(a->state, LINK_SESSION_DOWN);
}

static void test_damage(void)
{
	uint8_t out[LINK_MESSAGE_MAX + 1];
	struct link_session copy;
	int len;

	start(1);
	w.end[0].s.lane_next[3] = 9;
	while ((len = link_session_tick(&w.end[0].s, w.now_ns, out, sizeof(out))) == 0)
		w.now_ns = link_session_next_ns(&w.end[0].s);
	CU_ASSERT_EQUAL(len, 16 + 228 + 5 + 32);
	copy = w.end[1].s;
	for (int cut = 0; cut < len; cut++) {
		int rc =
			link_session_receive(&copy, out, (size_t)cut, w.now_ns + w.end[1].clock_ns);

		CU_ASSERT(rc == -EBADMSG || rc == -EACCES);
	}
	for (int bit = 0; bit < len * 8; bit++) {
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int rc =
			link_session_receive(&copy, out, (size_t)len, w.now_ns + w.end[1].clock_ns);
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT(rc == -EBADMSG || rc == -EACCES);
	}
	CU_ASSERT(link_session_receive(&copy, out, (size_t)len + 1, w.now_ns + w.end[1].clock_ns) <
		  0);
	CU_ASSERT_EQUAL(copy.session_id, w.end[1].s.session_id);
	CU_ASSERT_EQUAL(copy.current.heard_ns, w.end[1].s.current.heard_ns);
	CU_ASSERT_EQUAL(
		link_session_receive(&copy, out, (size_t)len, w.now_ns + w.end[1].clock_ns), 0);
	CU_ASSERT(copy.peer.announced == 1 && copy.peer.announce[0].lane == 3 &&
		  copy.peer.announce[0].next == 9);
	CU_ASSERT_EQUAL(link_session_receive(&copy, out, (size_t)len, w.now_ns + w.end[1].clock_ns),
		-EALREADY);
}

static void test_mismatch(void)
{
	uint8_t out[LINK_MESSAGE_MAX];
	struct link_hello h;
	int len;

	/* One routed, one bridged. */
	set_up(1);
	w.end[1].config.routed = true;
	boot(0);
	boot(1);
	run(w.now_ns + 3 * SECOND);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(w.end[i].s.state, LINK_SESSION_REFUSED);
		CU_ASSERT_EQUAL(w.end[i].s.session_id, 0);
		CU_ASSERT(strstr(w.end[i].s.error, "routed") != NULL);
	}
	w.end[1].config.routed = false;
	uint64_t begin = w.now_ns;

	boot(1);
	run(w.now_ns + 2 * SECOND);
	CU_ASSERT(both_up() && agree());
	CU_ASSERT(w.end[0].up_ns - begin < SECOND);

	/* A later version, properly signed, with nothing else in common. */
	for (int alive = 0; alive < 2; alive++) {
		set_up(1);
		boot(0);
		boot(1);
		w.end[1].off = !alive;
		run(w.now_ns + SECOND);
		len = link_session_tick(
			&w.end[1].s, w.now_ns + w.end[1].clock_ns + SECOND, out, sizeof(out));
		CU_ASSERT_EQUAL_FATAL(
			link_hello_read(out, (size_t)len, w.end[0].s.hello_key, &h), 0);
		h.version = 9;
		len = link_hello_write(&h, w.end[0].s.hello_key, out, sizeof(out));
		CU_ASSERT_EQUAL(
			link_session_receive(&w.end[0].s, out, (size_t)len, w.now_ns), -EPROTO);
		if (alive) {
			CU_ASSERT_EQUAL(w.end[0].s.state, LINK_SESSION_UP);
			continue;
		}
		CU_ASSERT_EQUAL(w.end[0].s.state, LINK_SESSION_REFUSED);
		CU_ASSERT(strstr(w.end[0].s.error, "version 9") != NULL);
		/* It is told, politely and soon. */
		run(w.now_ns + 25 * MS);
		CU_ASSERT_EQUAL(
			link_hello_read(w.record[w.recorded - 1].bytes,
				(size_t)w.record[w.recorded - 1].len, w.end[0].s.hello_key, &h),
			0);
		CU_ASSERT_EQUAL(h.refusal, LINK_REFUSAL_VERSION);
		CU_ASSERT_EQUAL(
			link_session_receive(&w.end[1].s, w.record[w.recorded - 1].bytes,
				(size_t)w.record[w.recorded - 1].len, w.now_ns + w.end[1].clock_ns),
			-EPROTO);
		CU_ASSERT(strstr(w.end[1].s.error, "refuses") != NULL);
		run(w.now_ns + SECOND);
		CU_ASSERT_EQUAL(w.end[0].s.state, LINK_SESSION_DOWN);
	}

	/* Values that no honest peer sends. */
	for (int k = 0; k < 4; k++) {
		set_up(1);
		boot(0);
		boot(1);
		len = link_session_tick(
			&w.end[1].s, w.now_ns + w.end[1].clock_ns, out, sizeof(out));
		CU_ASSERT_EQUAL(link_hello_read(out, (size_t)len, w.end[0].s.hello_key, &h), 0);
		h.workers = k == 0 ? 0 : k == 1 ? 17 : h.workers;
		h.codecs = k == 2 ? 1 << LINK_CODEC_RAW | 1 << 5 : h.codecs;
		h.path_mtu = k == 3 ? 100 : h.path_mtu;
		len = link_hello_write(&h, w.end[0].s.hello_key, out, sizeof(out));
		CU_ASSERT_EQUAL(
			link_session_receive(&w.end[0].s, out, (size_t)len, w.now_ns), -EPROTO);
		CU_ASSERT_EQUAL(w.end[0].s.state, LINK_SESSION_REFUSED);
		CU_ASSERT(w.end[0].s.error[0] != '\0');
	}
}

UNIT_TESTS("link-session-hostile", {"wrong key", test_wrong_key},
	{"replayed messages change nothing", test_replay},
	{"replayed callers in masses", test_replay_flood},
	{"overtaken and reflected messages", test_overtaken},
	{"damaged messages change nothing", test_damage},
	{"a peer that does not fit", test_mismatch})
