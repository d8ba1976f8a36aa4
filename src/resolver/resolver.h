/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver.h - the name server's state, shared by its files: scopes (a
 * container's two sockets, its networks, its wishes), names, cache, and the
 * queries that wait for others. One thread; nothing is locked.
 *
 * Bounds: QUERIES_MAX waiting in all, of one container a share of it; CLIENTS_MAX
 * TCP connections, of one container a share; a fixed cache.
 */
#pragma once

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "resolver/cache.h"
#include "resolver/loop.h"
#include "resolver/message.h"
#include "resolver/names.h"

#define QUERIES_MAX 2048
#define QUERIES_OF_ONE 256
#define CLIENTS_MAX 512
#define CLIENTS_OF_ONE 64
#define CACHE_PLACES 2048
#define OWN_LIFETIME_S 5 /* of our own answers: containers come and go */

struct scope {
	struct resolver *resolver; /* borrowed */
	char *id;		   /* of the container */
	struct text_list networks;
	struct text_list servers; /* --dns; none: the host's */
	struct text_map links;	  /* a name of this container's own -> the name it stands for */
	bool forward;		  /* it has a way out */
	bool stale;		  /* not told again yet by an engine that came back */
	struct watch udp;
	struct watch tcp;
	size_t queries; /* that wait for others */
	size_t clients;
};

struct host_servers {
	struct text_list items;
	struct timespec changed;
	ino_t inode;
	int64_t looked_ns;
};

struct resolver {
	struct loop loop;
	struct map scopes; /* id -> struct scope */
	struct names names;
	struct cache *cache;
	struct list queries; /* struct query, oldest deadline first */
	size_t query_count;
	struct list clients; /* struct tcp_client, longest silent first */
	size_t client_count;
	struct host_servers host;
	const char *resolv_conf; /* borrowed */
};

/* Where an answer goes to. */
struct asker {
	struct scope *scope;
	struct tcp_client *client; /* NULL: by UDP to `from` */
	struct sockaddr_in from;
};

/* server.c. NULL with errno: the sockets cannot be watched, and are still yours. */
struct scope *scope_new(struct resolver *resolver, const char *id, int udp_fd, int tcp_fd);
/* Its sockets are closed, its queries forgotten, its clients sent away. */
void scope_end(struct scope *scope);
/* Sends an answer; false if nobody takes it any more. */
bool server_reply(const struct asker *asker, const uint8_t *data, size_t size);
/* Sends away clients that were silent too long. Returns ms until the next may be; -1: there is none. */
int server_expire(struct resolver *resolver, int64_t now_ns);

/* answer.c: what to say to one query: at once, or by forward.c. */
void answer_query(const struct asker *asker, const uint8_t *data, size_t size);
void answer_failure(const struct asker *asker, const uint8_t *data, const struct dns_query *query, enum dns_code code);

/* forward.c: asks the scope's servers one after the other, and answers. */
void forward_query(const struct asker *asker, const uint8_t *data, size_t size, const struct dns_query *query);
void forward_forget_scope(struct resolver *resolver, const struct scope *scope);
void forward_forget_client(struct resolver *resolver, const struct tcp_client *client);
int forward_expire(struct resolver *resolver, int64_t now_ns);

void resolver_init(struct resolver *resolver, const char *resolv_conf);
void resolver_fini(struct resolver *resolver);
/* One turn of the loop with its deadlines. */
void resolver_turn(struct resolver *resolver);
