/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The world of the session tests: two ends in virtual time over a channel that loses, doubles,
 * delays and reorders messages and records them all. Whatever it does, an end that may send holds
 * keys that the other can verify: run() checks that after every event.
 */
#ifndef SLUICE_TESTS_LINK_WORLD_H
#define SLUICE_TESTS_LINK_WORLD_H

#include <stdlib.h>

#include "dataplane/link/session.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define IN_FLIGHT 4096
#define RECORD 8192

struct message {
	uint64_t at_ns;
	int to;
	int len;
	uint8_t bytes[LINK_MESSAGE_MAX];
};

struct end {
	struct link_session s;
	struct link_session_config config;
	uint64_t seed;
	uint64_t clock_ns; /* added to the world's time: no two machines' clocks are equal */
	bool off;
	uint64_t up_ns, down_ns; /* last changes of alive */
};

struct world {
	uint64_t now_ns;
	uint64_t agreed_ns; /* when both came to be up with the same keys; 0: they are not */
	struct end end[2];
	/* The channel, by receiving end. */
	uint64_t delay_ns[2], jitter_ns[2];
	double loss[2], dup[2];
	uint64_t lost[2];
	uint64_t seed;
	struct message *fly;
	int flying;
	struct message *record; /* everything ever sent */
	int recorded;
};

static struct world w;
static uint8_t world_cipher; /* of both ends, from set_up() on */

static inline void nonce(void *arg, uint8_t *out, size_t len)
{
	struct end *e = arg;

	data_fill(out, (uint32_t)len, DATA_RANDOM, data_next(&e->seed));
}

static inline double chance(void)
{
	return (double)(data_next(&w.seed) >> 11) / 9007199254740992.0;
}

static inline void boot(int i)
{
	struct end *e = &w.end[i];

	e->config.boot_id++;
	memset(&e->s, 0, sizeof(e->s));
	CU_ASSERT_EQUAL(link_session_init(&e->s, &e->config, w.now_ns + e->clock_ns), 0);
	e->off = false;
}

static inline void set_up(uint64_t seed)
{
	static const uint8_t key[] = "correct horse battery staple";
	struct message *fly = w.fly ? w.fly : malloc(IN_FLIGHT * sizeof(*fly));
	struct message *record = w.record ? w.record : malloc(RECORD * sizeof(*record));

	memset(&w, 0, sizeof(w));
	w.fly = fly;
	w.record = record;
	w.now_ns = 1000 * SECOND;
	w.seed = seed;
	for (int i = 0; i < 2; i++) {
		struct end *e = &w.end[i];

		w.delay_ns[i] = 20 * MS;
		e->seed = seed * 2 + (uint64_t)i + 1;
		e->clock_ns = i ? 5000 * SECOND : 0;
		e->config = (struct link_session_config){
			.key = key,
			.key_len = sizeof(key) - 1,
			.boot_id = 100 * (uint64_t)(i + 1),
			.path_mtu = i ? 1480 : 1500,
			.workers = i ? 3 : 2,
			.cipher = world_cipher,
			.random = nonce,
			.random_arg = e,
		};
	}
}

static inline void put(int to, uint64_t at_ns, const uint8_t *bytes, int len)
{
	struct message *m = &w.fly[w.flying++];

	if (w.flying > IN_FLIGHT)
		abort();
	m->at_ns = at_ns;
	m->to = to;
	m->len = len;
	memcpy(m->bytes, bytes, (size_t)len);
}

static inline void send_message(int to, const uint8_t *bytes, int len)
{
	int copies = 1;

	if (w.recorded < RECORD) {
		w.record[w.recorded].to = to;
		w.record[w.recorded].len = len;
		memcpy(w.record[w.recorded++].bytes, bytes, (size_t)len);
	}
	if (chance() < w.loss[to]) {
		w.lost[to]++;
		copies = 0;
	} else if (chance() < w.dup[to]) {
		copies = 2;
	}
	while (copies-- > 0) {
		uint64_t extra = w.jitter_ns[to] ? data_next(&w.seed) % w.jitter_ns[to] : 0;

		put(to, w.now_ns + w.delay_ns[to] + extra, bytes, len);
	}
}

static inline bool same(const struct link_aead_key *a, const struct link_aead_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* An end that may send must be understood, unless the other is down or has restarted: then it is
 * not the one that the session is with. */
static inline void check_keys(int i)
{
	struct link_path mine = {0}, its = {0};

	if (!w.end[i].s.alive || w.end[i].s.peer.boot_id != w.end[!i].config.boot_id)
		return;
	link_session_fill_path(&w.end[i].s, &mine);
	link_session_fill_path(&w.end[!i].s, &its);
	CU_ASSERT(mine.tx_key != mine.rx_key);
	if (mine.cipher != LINK_CIPHER_NONE) {
		bool old = w.now_ns + w.end[!i].clock_ns < its.rx_key_old_until_ns;

		CU_ASSERT(!same(&mine.tx_aead, &mine.rx_aead));
		CU_ASSERT(same(&mine.tx_aead, &its.rx_aead) ||
			  (old && same(&mine.tx_aead, &its.rx_aead_old)) ||
			  (its.session_id_next != 0 && same(&mine.tx_aead, &its.rx_aead_next)));
		return;
	}
	CU_ASSERT(mine.tx_key == its.rx_key ||
		  (mine.tx_key == its.rx_key_old &&
			  w.now_ns + w.end[!i].clock_ns < its.rx_key_old_until_ns));
}

static inline bool both_up(void)
{
	return w.end[0].s.alive && w.end[1].s.alive;
}

static inline bool agree(void)
{
	return w.end[0].s.tx_key == w.end[1].s.rx_key && w.end[1].s.tx_key == w.end[0].s.rx_key;
}

/* Run until `until_ns`, event by event. */
static inline void run(uint64_t until_ns)
{
	for (;;) {
		uint64_t at_ns = until_ns;
		int event = -1, flight = -1;

		for (int i = 0; i < w.flying; i++)
			if (w.fly[i].at_ns < at_ns) {
				at_ns = w.fly[i].at_ns;
				flight = i;
			}
		for (int i = 0; i < 2; i++) {
			uint64_t next_ns = link_session_next_ns(&w.end[i].s) - w.end[i].clock_ns;

			if (!w.end[i].off && next_ns < at_ns) {
				at_ns = next_ns;
				event = i;
			}
		}
		if (at_ns > w.now_ns)
			w.now_ns = at_ns;
		if (event < 0 && flight < 0)
			return;

		int i = event >= 0 ? event : w.fly[flight].to;
		struct end *e = &w.end[i];
		uint8_t out[LINK_MESSAGE_MAX];
		bool was_alive = e->s.alive;
		int len;

		if (event >= 0) {
			for (int n = 0; (len = link_session_tick(&e->s, w.now_ns + e->clock_ns, out,
						 sizeof(out))) != 0;
				n++) {
				CU_ASSERT(len > 0 && n < 2);
				send_message(!i, out, len);
			}
			CU_ASSERT(link_session_next_ns(&e->s) > w.now_ns + e->clock_ns);
		} else {
			struct message m = w.fly[flight];

			w.fly[flight] = w.fly[--w.flying];
			if (!e->off)
				link_session_receive(
					&e->s, m.bytes, (size_t)m.len, w.now_ns + e->clock_ns);
		}
		if (e->s.alive != was_alive)
			*(e->s.alive ? &e->up_ns : &e->down_ns) = w.now_ns;
		CU_ASSERT((e->s.state == LINK_SESSION_UP) == e->s.alive);
		CU_ASSERT(!e->s.alive || e->s.error[0] == '\0');
		check_keys(0);
		check_keys(1);
		if (!both_up() || !agree())
			w.agreed_ns = 0;
		else if (w.agreed_ns == 0)
			w.agreed_ns = w.now_ns;
	}
}

static inline void start(uint64_t seed)
{
	set_up(seed);
	boot(0);
	boot(1);
	run(w.now_ns + 500 * MS);
	CU_ASSERT_FATAL(both_up());
}

#endif
