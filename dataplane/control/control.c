/* SPDX-License-Identifier: BSD-3-Clause */
/* The control thread's loop; control.h says what it looks after. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/clock.h"
#include "dataplane/control/active.h"
#include "dataplane/control/build.h"
#include "dataplane/control/control.h"
#include "dataplane/control/peers.h"
#include "dataplane/control/publish.h"
#include "dataplane/control/track.h"
#include "dataplane/store_files.h"

#define TICK_NS 1000000
#define INPATH_NS 100000000ull
#define LINKS_NS 10000000ull /* a link that came up is used within this */
#define PORTS_NS 100000000ull
#define CLOCK_NS 1000000000ull
/* A worker whose heartbeat is older than this is reported as stalled. */
#define STALLED_NS 1000000000ull
/* Frames for the in-path addresses taken in one turn: 128,000 a second at most. */
#define PUNT_BURST 128

static volatile sig_atomic_t asked_to_stop, times_asked;

static void on_signal(int signal)
{
	asked_to_stop = signal;
	times_asked = times_asked + 1;
}

/* Asked to stop: at once where nothing is to be written first, or when asked again. */
static bool is_to_end(struct control *c)
{
	if (times_asked == 0)
		return false;
	if (!c->is_ending) {
		printf("stopping on %s\n", asked_to_stop == SIGINT ? "SIGINT" : "SIGTERM");
		c->is_ending = true;
		store_files_write(c->daemon->store_files);
	}
	return times_asked > 1 || store_files_are_written(c->daemon->store_files);
}

uint64_t control_realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void control_send(struct daemon *d, unsigned port, const uint8_t *frame, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(d->pool);

	if (m == NULL)
		return;
	uint8_t *data = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)len);
	if (data == NULL)
		goto drop;
	memcpy(data, frame, len);
	pkt_of(m)->out_port = (uint8_t)port;
	for (unsigned i = 0; i < d->worker_count; i++)
		if (d->workers[i]->tx[port].owner && rte_ring_enqueue(d->workers[i]->tx_in, m) == 0)
			return;
drop:
	rte_pktmbuf_free(m);
}

void control_emit(void *arg, int side, const uint8_t *frame, uint32_t len)
{
	const struct control_side *s = arg;

	control_send(s->daemon, side == INPATH_WAN ? port_wan(s->bridge) : port_lan(s->bridge),
		frame, len);
}

/* Frames for the in-path addresses. */
static void take_punted(struct control *c, uint64_t now_ns)
{
	struct daemon *d = c->daemon;
	struct rte_mbuf *pkts[PUNT_BURST];
	unsigned n = rte_ring_sc_dequeue_burst(d->punt, (void **)pkts, PUNT_BURST, NULL);

	for (unsigned i = 0; i < n; i++) {
		const struct pkt *p = pkt_of(pkts[i]);
		const uint8_t *frame = rte_pktmbuf_mtod(pkts[i], const uint8_t *);
		struct control_side context = {d, p->bridge};

		if (p->flags & PKT_LINK) {
			peers_receive(c, pkts[i], now_ns);
		} else if (active_receive(c, pkts[i], now_ns)) {
			/* A measurement's, and nobody else's. */
		} else if (c->has_inpath[p->bridge]) {
			/* 0: others must see it too, so it goes on to the other side. */
			if (inpath_input(&c->inpath[p->bridge],
				    p->way == WAY_UP ? INPATH_LAN : INPATH_WAN, frame,
				    pkts[i]->data_len, now_ns, control_emit, &context) == 0)
				control_emit(&context, p->way == WAY_UP ? INPATH_WAN : INPATH_LAN,
					frame, pkts[i]->data_len);
		}
		rte_pktmbuf_free(pkts[i]);
	}
}

static void watch_links(struct daemon *d)
{
	for (unsigned i = 0; i < d->port_count; i++) {
		struct port *port = &d->ports[i];
		bool was_up = port->link_up;

		port_poll_link(port);
		if (port->link_up != was_up)
			printf("port %s: link %s\n", port->name, port->link_up ? "up" : "down");
	}
}

static void watch_ports(struct daemon *d)
{
	for (unsigned i = 0; i < d->port_count; i++) {
		const struct port *port = &d->ports[i];
		struct counters_port *counters = counters_port(d->counters, i);

		port_stats(port, counters);
		counters->bridge = i / 2;
		counters->is_wan = i == port_wan(i / 2);
	}
}

static void watch_workers(struct daemon *d, uint64_t now_ns)
{
	static bool stalled[POLICY_WORKERS_MAX];

	for (unsigned i = 0; i < d->worker_count; i++) {
		uint64_t beat_ns =
			__atomic_load_n(&d->workers[i]->counters->heartbeat_ns, __ATOMIC_RELAXED);
		bool now = now_ns > beat_ns && now_ns - beat_ns > STALLED_NS;
		if (now != stalled[i])
			printf("worker %u: %s\n", i, now ? "stalled" : "running again");
		stalled[i] = now;
	}
}

static void loop(struct control *c)
{
	struct daemon *d = c->daemon;
	uint64_t inpath_ns = 0, links_ns = 0, ports_ns = 0, clock_ns = clock_now_ns();

	while (!is_to_end(c)) {
		uint64_t now_ns = clock_now_ns();

		take_punted(c, now_ns);
		peers_tick(c, now_ns);
		build_tick(c);
		build_take_back(c, now_ns);
		channel_server_poll(d->channel, &control_handlers, c);
		track_tick(c, now_ns);
		active_tick(c);
		rates_tick(c->rates, d, c->connections, now_ns);
		transaction_rates_tick(c->transaction_rates, d, now_ns);
		if (feed_tick(c, now_ns))
			history_feed_tick(c, now_ns);
		if (now_ns - inpath_ns >= INPATH_NS) {
			inpath_ns = now_ns;
			for (unsigned b = 0; b < d->bridge_count; b++) {
				struct control_side context = {d, b};
				if (c->has_inpath[b])
					inpath_tick(&c->inpath[b], now_ns, control_emit, &context);
			}
		}
		if (now_ns - links_ns >= LINKS_NS) {
			links_ns = now_ns;
			watch_links(d);
		}
		if (now_ns - ports_ns >= PORTS_NS) {
			ports_ns = now_ns;
			watch_ports(d);
			watch_workers(d, now_ns);
			publish_collect(d, false);
			__atomic_store_n(&d->counters->now_ns, now_ns, __ATOMIC_RELAXED);
		}
		if (now_ns - clock_ns >= CLOCK_NS) {
			clock_ns = now_ns;
			clock_discipline();
		}
		nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
	}
}

int control_run(struct daemon *d, char *error, size_t error_len)
{
	struct control *c = calloc(1, sizeof(*c));
	struct sigaction stop = {.sa_handler = on_signal};
	const struct policy *policy = d->plan->policy;
	int rc = -ENOMEM;

	if (c == NULL)
		return rc;
	c->daemon = d;
	c->generation = d->plan->generation;
	c->applied_realtime_ns = control_realtime_ns();
	c->started_ns = clock_now_ns();
	c->rates = rates_create(d);
	c->connections = connections_create(d);
	c->transaction_rates = transaction_rates_create(d);
	c->track = track_create();
	c->active = active_create();
	c->feed = feed_create(d);
	c->history = history_feed_create(policy);
	if (c->rates == NULL || c->connections == NULL || c->transaction_rates == NULL ||
		c->track == NULL || c->active == NULL || c->feed == NULL || c->history == NULL) {
		snprintf(error, error_len, "no memory for the rates of %u flows and the history",
			policy->appliance.flows);
		goto done;
	}
	for (unsigned b = 0; b < d->bridge_count; b++) {
		struct inpath_config config;
		c->has_inpath[b] = inpath_config_of(
			&config, &policy->bridges[b], d->ports[port_wan(b)].mac.addr_bytes);
		if (c->has_inpath[b])
			inpath_init(&c->inpath[b], &config, c->started_ns);
	}
	c->peers = peers_create(c, error, error_len);
	if (c->peers == NULL)
		goto done;

	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	signal(SIGPIPE, SIG_IGN); /* who reads the log may go away */
	watch_links(d);
	watch_ports(d);
	__atomic_store_n(&d->counters->now_ns, clock_now_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&d->counters->ready, 1, __ATOMIC_RELEASE);
	printf("ready\n");
	loop(c);
	rc = 0;

done:
	build_stop(c);
	peers_destroy(c->peers);
	active_destroy(c->active);
	history_feed_destroy(c->history);
	feed_destroy(c->feed);
	track_destroy(c->track);
	rates_destroy(c->rates);
	connections_destroy(c->connections);
	transaction_rates_destroy(c->transaction_rates);
	policy_free(c->previous);
	free(c);
	return rc;
}
