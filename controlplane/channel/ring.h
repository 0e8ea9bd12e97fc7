/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring of frames in shared memory with one producer and one consumer, which do not trust each
 * other: each end keeps the capacity and its own index to itself and copies frames out before it
 * looks at them. segment.h places the rings; server.c and client.c hold an end each.
 */
#ifndef SLUICE_CHANNEL_RING_H
#define SLUICE_CHANNEL_RING_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "controlplane/channel/messages.h"

enum channel_frame_kind { FRAME_REQUEST, FRAME_RECORDS, FRAME_RESULT };

struct channel_frame {
	uint32_t message; /* enum channel_message */
	uint32_t kind;	  /* enum channel_frame_kind */
	uint32_t len;	  /* bytes of payload in use */
	uint32_t zero;
	uint64_t sequence; /* of the request; its replies carry the same */
	uint64_t session;  /* of the client */
	uint8_t payload[CHANNEL_PAYLOAD_MAX];
};
static_assert(sizeof(struct channel_frame) == 4096, "a page");

/* Running indices: they count frames, never wrap back and say nothing about the place by
 * themselves. */
struct channel_ring_indices {
	uint64_t head __attribute__((aligned(64))); /* producer: writes, consumer: reads */
	uint64_t tail __attribute__((aligned(64))); /* consumer: writes, producer: reads */
};

/* One end of a ring, in private memory. */
struct channel_ring {
	struct channel_ring_indices *shared;
	struct channel_frame *frames;
	uint32_t capacity; /* frames, a power of two */
	uint64_t own;	   /* head for the producer, tail for the consumer */
};

/* Frames that the producer may still push, or -EPROTO if the other end's index is impossible. */
static inline int channel_ring_space(const struct channel_ring *ring)
{
	uint64_t used = ring->own - __atomic_load_n(&ring->shared->tail, __ATOMIC_ACQUIRE);

	return used > ring->capacity ? -EPROTO : (int)(ring->capacity - used);
}

/* Producer: copy a frame in and publish it. The caller has made sure of the space. */
static inline void channel_ring_push(struct channel_ring *ring, const struct channel_frame *frame)
{
	struct channel_frame *to = &ring->frames[ring->own & (ring->capacity - 1)];

	memcpy(to, frame, offsetof(struct channel_frame, payload) + frame->len);
	__atomic_store_n(&ring->shared->head, ++ring->own, __ATOMIC_RELEASE);
}

/* Consumer: copy the oldest frame out and give its place back. 0, -EAGAIN when there is none,
 * -EPROTO if the other end's index is impossible. What it says is still to be checked. */
static inline int channel_ring_pop(struct channel_ring *ring, struct channel_frame *frame)
{
	uint64_t ready = __atomic_load_n(&ring->shared->head, __ATOMIC_ACQUIRE) - ring->own;

	if (ready == 0)
		return -EAGAIN;
	if (ready > ring->capacity)
		return -EPROTO;
	memcpy(frame, &ring->frames[ring->own & (ring->capacity - 1)], sizeof(*frame));
	/* The checks that follow must see this copy, whatever is written to the ring meanwhile. */
	__asm__ volatile("" : : "r"(frame) : "memory");
	__atomic_store_n(&ring->shared->tail, ++ring->own, __ATOMIC_RELEASE);
	return 0;
}

#endif
