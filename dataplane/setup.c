/* SPDX-License-Identifier: BSD-3-Clause */
/* From a checked policy to a daemon ready to run: EAL, memory, ports, workers; and back. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_random.h>

#include "dataplane/budget.h"
#include "dataplane/clock.h"
#include "dataplane/control/publish.h"
#include "dataplane/measure/inflight.h"
#include "dataplane/packet/steer.h"
#include "dataplane/setup.h"
#include "dataplane/store_files.h"
#include "dataplane/worker_store.h"

#define STEER_RING 4096
#define TX_RING 2048
#define PUNT_RING 1024
#define POOL_CACHE 256
/* Policies that may take a second to compile. */
#define LONG_CLASSES 10000u
#define LONG_RULES 500u
#define MB 1000000 /* as people are told */
#define MIB (1024 * 1024)

static int say(char *error, size_t len, int rc, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static int say(char *error, size_t len, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, len, format, args);
	va_end(args);
	return rc;
}

/* ---- EAL ---- */

/* Control thread. Nothing of the EAL may be called before it started. */
static bool eal_started;

static bool is_pci(const char *device)
{
	enum port_kind kind;
	char ignored[128];

	return port_device_check(device, &kind, ignored, sizeof(ignored)) == 0 && kind == PORT_PCI;
}

static int start_eal(const struct daemon *d, const struct policy *policy, char *error, size_t len)
{
	const struct policy_appliance *a = &policy->appliance;
	static char lcores[256], memory[32];
	static const char *argv[64];
	int argc = 0, at;
	bool pci = false;

	at = snprintf(lcores, sizeof(lcores), "--lcores=0@%u", a->control_cpu);
	for (unsigned i = 0; i < a->worker_count; i++)
		at += snprintf(
			lcores + at, sizeof(lcores) - (size_t)at, ",%u@%u", i + 1, a->workers[i]);
	argv[argc++] = "sluiced";
	argv[argc++] = lcores;
	argv[argc++] = "--no-telemetry";
	argv[argc++] = "--log-level=*:warning";
	/* Either way nothing is left in the file system when the daemon is killed. */
	argv[argc++] = a->hugepages ? "--in-memory" : "--no-shconf";
	if (!a->hugepages) {
		snprintf(memory, sizeof(memory), "%u",
			(unsigned)((budget_eal_bytes(policy) + MIB - 1) / MIB));
		argv[argc++] = "--no-huge";
		argv[argc++] = "-m";
		argv[argc++] = memory;
	}
	for (unsigned b = 0; b < policy->bridge_count; b++) {
		const char *devices[] = {policy->bridges[b].lan, policy->bridges[b].wan};
		for (unsigned i = 0; i < 2; i++) {
			if (!is_pci(devices[i]))
				continue;
			argv[argc++] = "-a";
			argv[argc++] = devices[i];
			pci = true;
		}
	}
	if (!pci)
		argv[argc++] = "--no-pci";
	argv[argc] = NULL;
	if (rte_eal_init(argc, (char **)(uintptr_t)argv) < 0)
		return say(error, len, -rte_errno, "DPDK did not start (%s): %s",
			rte_strerror(rte_errno),
			a->hugepages
				? "reserve hugepages (sysctl vm.nr_hugepages=1024), run as root, "
				  "or set appliance.hugepages = false"
				: "run as root, and check that the CPUs of appliance.workers "
				  "and control_cpu exist");
	eal_started = true;
	return 0;
}

/* ---- ports ---- */

static int open_ports(struct daemon *d, const struct policy *policy, char *error, size_t len)
{
	const struct policy_appliance *a = &policy->appliance;

	for (unsigned i = 0; i < 2 * d->bridge_count; i++) {
		const struct policy_bridge *b = &policy->bridges[i / 2];
		bool wan = i == port_wan(i / 2);
		struct port_request request = {.device = wan ? b->wan : b->lan,
			.workers = a->worker_count,
			.mtu = a->mtu,
			.adaptive = a->poll == POLL_ADAPTIVE,
			.pool = d->pool};
		snprintf(request.name, sizeof(request.name), "%.26s.%s", b->name,
			wan ? "wan" : "lan");
		int rc = port_open(&request, &d->ports[i], error, len);
		if (rc != 0)
			return rc;
		d->port_count++;
		printf("port %s: %s, %u rx and %u tx queues%s, MTU %u%s%s\n", d->ports[i].name,
			d->ports[i].device, d->ports[i].rx_queues, d->ports[i].tx_queues,
			d->ports[i].symmetric_rss ? ", symmetric RSS" : "", d->ports[i].mtu,
			*d->ports[i].note ? "; " : "", d->ports[i].note);
	}
	return 0;
}

static struct parse_context parse_context_of(
	const struct daemon *d, const struct policy *policy, unsigned port, uint64_t hash_seed)
{
	unsigned bridge = port / 2;
	const struct policy_bridge *b = &policy->bridges[bridge];
	struct parse_context c = {.hash_seed = hash_seed,
		.way = port == port_lan(bridge) ? WAY_UP : WAY_DOWN,
		.bridge = (uint8_t)bridge,
		.in_path_vlan = b->vlan};

	if (b->address4.address.family == 4)
		memcpy(&c.in_path4, b->address4.address.bytes + 12, sizeof(c.in_path4));
	if (b->address6.address.family == 6) {
		c.has_in_path6 = true;
		memcpy(c.in_path6, b->address6.address.bytes, sizeof(c.in_path6));
	}
	memcpy(c.in_path_mac, d->ports[port_wan(bridge)].mac.addr_bytes, sizeof(c.in_path_mac));
	for (unsigned i = 0; i < policy->peer_count; i++)
		if (policy->peers[i].bridge == bridge)
			c.link_port = rte_cpu_to_be_16(policy->peers[i].port);
	return c;
}

/*
 * Queue q of a port is worker q's if every worker has one. Where there are fewer, as on software
 * ports, the ports' queues are dealt out in turn, so that two ports keep two workers busy; workers
 * without a transmit queue hand over to the one that has it.
 */
static unsigned queue_owner(const struct daemon *d, unsigned port, unsigned queue, unsigned queues)
{
	return queues == d->worker_count ? queue : (queue + port) % d->worker_count;
}

static void deal_queues(struct daemon *d)
{
	for (unsigned i = 0; i < d->port_count; i++) {
		const struct port *port = &d->ports[i];
		for (unsigned q = 0; q < port->rx_queues; q++) {
			struct worker *w = d->workers[queue_owner(d, i, q, port->rx_queues)];
			int fd = port_rx_fd(port, (uint16_t)q);
			w->rx_fds[w->rx_count] = (struct pollfd){.fd = fd, .events = POLLIN};
			w->can_be_woken &= fd >= 0;
			governor_queue(&w->governor, w->rx_count, port->rx_ring_packets / BURST);
			w->rx[w->rx_count++] = (struct worker_rx){.port_id = port->port_id,
				.queue = (uint16_t)q,
				.port = (uint16_t)i};
		}
		for (unsigned q = 0; q < port->tx_queues; q++) {
			struct worker_tx *tx =
				&d->workers[queue_owner(d, i, q, port->tx_queues)]->tx[i];
			tx->owner = true;
			tx->port_id = port->port_id;
			tx->queue = (uint16_t)q;
		}
		for (unsigned n = 0; n < d->worker_count; n++) {
			unsigned owner = queue_owner(d, i, n % port->tx_queues, port->tx_queues);
			if (!d->workers[n]->tx[i].owner)
				d->workers[n]->tx[i].hand_over = d->workers[owner]->tx_in;
		}
	}
}

/* ---- workers ---- */

static void *take(struct daemon *d, size_t bytes)
{
	d->memory_bytes += bytes;
	return rte_zmalloc(NULL, bytes, RTE_CACHE_LINE_SIZE);
}

static struct rte_ring *take_ring(
	struct daemon *d, const char *what, unsigned i, unsigned size, unsigned flags)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "%s%u", what, i);
	d->memory_bytes += (uint64_t)rte_ring_get_memsize(size);
	return rte_ring_create(name, size, SOCKET_ID_ANY, flags);
}

static struct worker *make_worker(
	struct daemon *d, const struct policy *policy, unsigned index, uint64_t hash_seed)
{
	const struct policy_appliance *a = &policy->appliance;
	struct worker *w = take(d, sizeof(*w));
	char name[48];

	if (w == NULL)
		return NULL;
	w->daemon = d;
	w->index = index;
	w->sample_salt = index * 5;
	w->room.most = budget_room(policy);
	w->counters = counters_worker(d->counters, index);
	w->steer_in = take_ring(d, "steer", index, STEER_RING, RING_F_SC_DEQ);
	w->tx_in = take_ring(d, "tx", index, TX_RING, RING_F_SC_DEQ);
	snprintf(name, sizeof(name), "flows%u", index);
	w->flows = flow_table_create(name, a->flows, SOCKET_ID_ANY);
	w->measured = budget_measured_classes(a);
	w->measure = take(d, (w->measured + 1u) * sizeof(*w->measure));
	void *inflight = take(d, inflight_bytes(budget_inflight_runs(policy)));
	w->datagrams = take(d, (w->measured + 1u) * sizeof(*w->datagrams));
	w->transactions = take(d, (w->measured + 1u) * sizeof(*w->transactions));
	w->cost = take(d, (w->measured + 1u) * WAYS * sizeof(*w->cost));
	w->peers = take(d, POLICY_PEERS_MAX * sizeof(*w->peers));
	w->other = take(d, POLICY_BRIDGES_MAX * sizeof(*w->other));
	void *codec = take(d, codec_bytes());
	if (w->steer_in == NULL || w->tx_in == NULL || w->flows == NULL || w->measure == NULL ||
		inflight == NULL || w->datagrams == NULL || w->transactions == NULL ||
		w->cost == NULL || w->peers == NULL || w->other == NULL || codec == NULL)
		return NULL;
	inflight_init(inflight, budget_inflight_runs(policy));
	flow_table_on_silent(w->flows, worker_flow_silent, w);
	for (uint32_t i = 0; i <= w->measured; i++)
		w->measure[i].inflight = inflight;
	for (unsigned b = 0; b < POLICY_BRIDGES_MAX; b++)
		w->other[b].flags = FLOW_LIVE | FLOW_OTHER;
	d->memory_bytes += flow_table_memory_bytes(w->flows);
	w->codec = codec_init(codec, d->dictionaries);
	governor_init(&w->governor);
	if (w->codec == NULL)
		return NULL;

	for (unsigned b = 0; b < d->bridge_count; b++) {
		w->codecs[b] = take(d, a->classes * sizeof(struct worker_codecs));
		if (w->codecs[b] == NULL)
			return NULL;
		for (unsigned way = 0; way < WAYS; way++) {
			snprintf(name, sizeof(name), "shaper%u.%u.%s", index, b,
				way == WAY_UP ? "up" : "down");
			struct shaper_params params = {.name = name,
				.way = way,
				.worker = index,
				.classes_max = a->classes,
				.queues = a->queues,
				.socket = SOCKET_ID_ANY,
				.reasons = w->counters->reason,
				.room = &w->room};
			w->shaper[b][way] = shaper_create(&params, d->shaper_shared[b][way]);
			w->classes[b][way] = take(d, a->classes * sizeof(struct worker_class));
			if (w->shaper[b][way] == NULL || w->classes[b][way] == NULL)
				return NULL;
			struct shaper_figures figures;
			shaper_figures(w->shaper[b][way], &figures);
			d->memory_bytes += figures.memory_bytes;
		}
	}
	for (unsigned i = 0; i < policy->peer_count; i++) {
		w->peers[i].rx = take(d, LINK_LANES * sizeof(struct link_seq));
		w->peers[i].class_delay = take(d, LINK_CLASS_SLOTS * sizeof(struct histogram));
		if (w->peers[i].rx == NULL || w->peers[i].class_delay == NULL)
			return NULL;
		if (worker_store_bytes(policy, i) > 0) {
			void *store = take(d, worker_store_bytes(policy, i));
			if (store == NULL)
				return NULL;
			worker_store_init(&w->peers[i], policy, i, d->dictionaries, store);
		}
		for (unsigned to = 0; to < LINK_WORKERS_MAX; to++)
			link_tx_init(&w->peers[i].tx[to], (uint8_t)(index * LINK_WORKERS_MAX + to));
	}
	if (worker_dry_store_bytes(policy) > 0) {
		void *store = take(d, worker_dry_store_bytes(policy));
		if (store == NULL)
			return NULL;
		worker_dry_store_init(w, policy, store);
	}
	for (unsigned i = 0; i < 128; i++)
		w->owner_of[i] = (uint8_t)steer_owner((uint16_t)i, d->worker_count);
	for (unsigned i = 0; i < d->port_count; i++)
		w->context[i] = parse_context_of(d, policy, i, hash_seed);
	w->hold_due_ns = UINT64_MAX;
	w->can_be_woken = true;
	return w;
}

static int make_workers(struct daemon *d, const struct policy *policy, char *error, size_t len)
{
	const struct policy_appliance *a = &policy->appliance;
	uint64_t hash_seed = rte_rand();

	for (unsigned b = 0; b < d->bridge_count; b++) {
		for (unsigned way = 0; way < WAYS; way++) {
			d->shaper_shared[b][way] = shaper_shared_create(
				a->classes, a->hosts, d->worker_count, SOCKET_ID_ANY);
			if (d->shaper_shared[b][way] == NULL)
				goto no_memory;
			d->memory_bytes += shaper_shared_memory_needed(a->classes, a->hosts);
		}
	}
	d->dictionaries = dictionaries_init(take(d, dictionaries_bytes()));
	if (d->dictionaries == NULL)
		goto no_memory;
	for (unsigned i = 0; i < d->worker_count; i++)
		if ((d->workers[i] = make_worker(d, policy, i, hash_seed)) == NULL)
			goto no_memory;
	for (unsigned i = 0; i < policy->peer_count; i++)
		if (worker_store_bytes(policy, i) > 0)
			worker_stores_join(d->workers, d->worker_count, i);
	if (worker_dry_store_bytes(policy) > 0)
		worker_dry_stores_join(d->workers, d->worker_count);
	deal_queues(d);
	return 0;

no_memory:
	return say(error, len, -ENOMEM,
		"not enough memory for %u workers with %u flows each and %u classes: %s",
		d->worker_count, a->flows, a->classes,
		a->hugepages ? "reserve more hugepages (sysctl vm.nr_hugepages), or lower "
			       "appliance.flows, buffers, queues, classes or hosts"
			     : "lower appliance.flows, buffers, queues, classes or hosts");
}

/* ---- all of it ---- */

/* The first plan. Says so where it takes long. */
static struct plan *build_plan(struct policy *policy, char *error, size_t len)
{
	uint64_t start_ns = clock_now_ns();
	struct plan *plan;

	if (policy->class_count >= LONG_CLASSES || policy->rule_count >= LONG_RULES)
		printf("compiling %u classes and %u rules\n", policy->class_count,
			policy->rule_count);
	plan = plan_build(policy, NULL, 1, error, len);
	if (clock_now_ns() - start_ns >= 1000000000u)
		printf("compiled in %u ms\n", (unsigned)((clock_now_ns() - start_ns) / 1000000));
	return plan;
}

/* What the workers know of the peers until the control thread has built paths to them: that some
 * want encryption, so that nothing leaves in the clear. NULL without memory. */
static struct links *first_links(const struct policy *policy)
{
	struct links *links = calloc(1, sizeof(*links));

	if (links == NULL)
		return NULL;
	links->count = policy->peer_count;
	for (unsigned i = 0; i < links->count; i++) {
		links->path[i].cipher = (uint8_t)policy->peers[i].encryption;
		links->path[i].plain_drops = policy->peers[i].encryption != ENCRYPTION_NONE &&
					     policy->peers[i].unencrypted == UNENCRYPTED_DROP;
	}
	return links;
}

int setup_start(struct daemon *d, struct policy *policy, char *error, size_t len)
{
	const struct policy_appliance *a = &policy->appliance;
	struct plan *plan = NULL;
	int rc;

	/* Lines of the log are to be seen when they are written, also through a pipe. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	d->worker_count = a->worker_count;
	d->bridge_count = policy->bridge_count;
	printf("sluiced %s: appliance %s, instance %s, %u worker(s), policy %s\n", SLUICE_VERSION,
		a->name, d->instance, a->worker_count, policy->file);

	d->channel = channel_server_create(d->instance, a->group, a->worker_count,
		2u * policy->bridge_count, error, (uint32_t)len);
	if (d->channel == NULL) {
		rc = -EEXIST;
		goto fail;
	}
	uint64_t needed = budget_eal_bytes(policy) + budget_control_bytes(policy);
	if (a->memory_mb != 0 && needed > (uint64_t)a->memory_mb * MIB) {
		rc = say(error, len, -E2BIG,
			"%u MiB are needed and appliance.memory allows %u MiB: raise it, or lower "
			"appliance.flows, buffers, queues, classes or hosts",
			(unsigned)(needed / MIB), a->memory_mb);
		goto fail;
	}
	d->counters = channel_server_counters(d->channel);
	snprintf(d->counters->appliance, sizeof(d->counters->appliance), "%s", a->name);
	rc = start_eal(d, policy, error, len);
	if (rc != 0)
		goto fail;
	clock_start();
	d->counters->tsc_hz = rte_get_tsc_hz();

	rc = -ENOMEM;
	d->pool = rte_pktmbuf_pool_create("packets", budget_buffers(policy), POOL_CACHE,
		sizeof(struct pkt), budget_data_room(a), SOCKET_ID_ANY);
	if (d->pool == NULL) {
		say(error, len, rc, "no memory for %u packet buffers (%u MB): %s",
			budget_buffers(policy), (unsigned)(budget_pool_bytes(policy) / MB),
			a->hugepages ? "reserve more hugepages (sysctl vm.nr_hugepages)"
				     : "lower appliance.buffers");
		goto fail;
	}
	d->memory_bytes += budget_pool_bytes(policy);
	d->rcu = take(d, rte_rcu_qsbr_get_memsize(POLICY_WORKERS_MAX));
	d->punt = take_ring(d, "punt", 0, PUNT_RING, RING_F_SC_DEQ);
	if (d->rcu == NULL || d->punt == NULL ||
		rte_rcu_qsbr_init(d->rcu, POLICY_WORKERS_MAX) != 0) {
		say(error, len, rc, "no memory for the rings");
		goto fail;
	}
	rc = open_ports(d, policy, error, len);
	if (rc != 0)
		goto fail;
	rc = make_workers(d, policy, error, len);
	if (rc != 0)
		goto fail;

	rc = -ENOMEM;
	d->links = first_links(policy);
	plan = build_plan(policy, error, len);
	if (plan == NULL || d->links == NULL)
		goto fail;
	d->plan = plan;
	d->memory_bytes += budget_control_bytes(policy);
	budget_say(d, policy);
	/* Last: what it reads it removes. */
	rc = store_files_open(d, policy, &d->store_files, error, len);
	if (rc != 0) {
		setup_stop(d); /* the plan has the policy */
		return rc;
	}
	for (unsigned i = 0; i < d->worker_count; i++) {
		/* Or it counts as stalled until its first round. */
		d->workers[i]->counters->heartbeat_ns = clock_now_ns();
		rte_eal_remote_launch(worker_run, d->workers[i], i + 1);
	}
	return 0;

fail:
	setup_stop(d);
	policy_free(policy);
	return rc;
}

static void free_worker(struct worker *w)
{
	if (w == NULL)
		return;
	for (unsigned b = 0; b < POLICY_BRIDGES_MAX; b++) {
		rte_free(w->codecs[b]);
		for (unsigned way = 0; way < WAYS; way++) {
			if (w->shaper[b][way] != NULL)
				shaper_destroy(w->shaper[b][way]);
			rte_free(w->classes[b][way]);
		}
	}
	for (unsigned i = 0; w->peers != NULL && i < POLICY_PEERS_MAX; i++) {
		rte_free(w->peers[i].rx);
		rte_free(w->peers[i].class_delay);
		rte_free(w->peers[i].store_tx); /* the first of what was taken as one */
	}
	rte_free(w->dry_store);
	flow_table_destroy(w->flows);
	rte_free(w->codec);
	rte_free(w->other);
	rte_free(w->peers);
	if (w->measure != NULL)
		rte_free(w->measure[0].inflight);
	rte_free(w->measure);
	rte_free(w->datagrams);
	rte_free(w->transactions);
	rte_ring_free(w->steer_in);
	rte_ring_free(w->tx_in);
	rte_free(w);
}

void setup_stop(struct daemon *d)
{
	for (unsigned i = 0; i < d->worker_count; i++)
		if (d->workers[i] != NULL)
			__atomic_store_n(&d->workers[i]->stop, true, __ATOMIC_RELAXED);
	if (d->counters != NULL)
		__atomic_store_n(&d->counters->ready, 0, __ATOMIC_RELEASE);
	if (d->plan != NULL)
		rte_eal_mp_wait_lcore();
	for (unsigned i = 0; i < d->port_count; i++)
		port_close(&d->ports[i]);
	store_files_close(d->store_files);
	for (unsigned i = 0; i < d->worker_count; i++)
		free_worker(d->workers[i]);
	for (unsigned b = 0; b < d->bridge_count; b++)
		for (unsigned way = 0; way < WAYS; way++)
			if (d->shaper_shared[b][way] != NULL)
				shaper_shared_destroy(d->shaper_shared[b][way]);
	publish_collect(d, true);
	plan_free((void *)(uintptr_t)d->plan);
	if (d->links != NULL)
		explicit_bzero((void *)(uintptr_t)d->links, sizeof(*d->links)); /* session keys */
	free((void *)(uintptr_t)d->links);
	rte_ring_free(d->punt);
	rte_free(d->rcu);
	rte_free(d->dictionaries);
	rte_mempool_free(d->pool);
	channel_server_destroy(d->channel);
	if (eal_started)
		rte_eal_cleanup();
}
