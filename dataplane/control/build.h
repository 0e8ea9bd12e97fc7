/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A change of the policy on its way, one at a time. A thread of its own makes the changed policy,
 * checks it as a whole and compiles it, which may take seconds; the control thread goes on
 * meanwhile, and puts the result in force. change.c says what the changes are and answers for them.
 */
#ifndef SLUICE_CONTROL_BUILD_H
#define SLUICE_CONTROL_BUILD_H

#include <pthread.h>
#include <sys/types.h>

#include "dataplane/control/control.h"

enum change_state { CHANGE_BUILDING, CHANGE_PUBLISHING, CHANGE_DONE };

struct change {
	/* What is asked for: written before build_start(), then the thread's. */
	const char *what; /* as people call it: "policy apply" */
	/* The policy that is asked for, or NULL with `rc` and, unless they are problems, `error`.
	 */
	struct policy *(*make)(struct change *change);
	bool is_checked;	    /* make() checks it as a whole */
	bool check_only;	    /* and that is all */
	const struct policy *basis; /* what make() copies: in force, or what a rollback goes to */
	unsigned index;		    /* of the class or bridge to set */
	uint64_t count;		    /* of settings */
	struct setting settings[SETTINGS_MAX];
	uint64_t value; /* compression mode, bypass */
	char *text;	/* of a policy; malloc'ed, owned */
	uint64_t text_len;
	char file[CHANNEL_PATH_MAX];

	/* Control thread only. */
	uint64_t client;	  /* who waits for the answer; 0: nobody, or not any more */
	bool is_abandoned;	  /* the client went away: nothing shall be put in force */
	bool is_rollback;	  /* ends the wait for confirmation */
	bool is_unconfirmed;	  /* a rollback because nobody confirmed */
	bool sets_confirm;	  /* to confirm_seconds */
	uint64_t confirm_seconds; /* 0: confirmed at once */
	char about[32];		  /* warnings about this path are for the client; "": none */
	uint64_t problems_from;	  /* policy apply: the first of those to send */
	enum change_state state;
	uint64_t started_ns, built_ns; /* time that it took */
	struct publish_result result;

	/* What came out: the thread's until it sets is_built, then the control thread's. */
	int rc;
	char error[CHANNEL_ERROR_MAX];
	struct policy_problems problems;
	struct plan *plan;	 /* NULL once it is in force, or for check_only */
	struct policy *previous; /* a copy of the one that `plan` follows */

	/* The thread's surroundings. */
	pthread_t thread;
	pid_t tid;     /* the same, of the kernel; 0 until it runs */
	bool is_built; /* builder: sets both, control thread: reads */
	const struct plan *present;
	uint32_t generation;
};

/* Start on a malloc'ed change while none is under way (c->change is NULL). Takes it over: it is
 * c->change until build_free(). 0, or a negative errno with a sentence in `error`; then it is
 * freed. */
int build_start(struct control *c, struct change *change, char *error, size_t error_len);

/* A copy of the basis, for make() to change; NULL without memory, `rc` and `error` say so. */
struct policy *build_copy(struct change *change);

/* Go on with the change under way, if any; call it once a round. What nobody waits for is freed
 * when it is done. */
void build_tick(struct control *c);

/* Free c->change, which must be CHANGE_DONE. */
void build_free(struct control *c);

/* A client went away: its change is dropped if it is not in force yet. */
void build_closed(struct control *c, uint64_t client);

/* The daemon stops: wait for the thread and drop what it made. */
void build_stop(struct control *c);

/* A policy whose confirmation did not come in time is taken back. Call it once a round. */
void build_take_back(struct control *c, uint64_t now_ns);

#endif
