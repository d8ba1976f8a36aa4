/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: each waiting query has a socket of its own, connected to one
 * server: the kernel picks the port and takes only that server's datagrams, so
 * that with the random id an answer is hard to forge. A server that is silent
 * for TRY_NS is left for the next. By TCP the query goes with its length in
 * front, as the answer comes.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random.h"
#include "network/files.h"
#include "resolver/resolver.h"

#define TRY_NS (2 * CLOCK_SECOND)
#define TRIES 3
#define LOOK_NS CLOCK_SECOND
#define PORT 53
#define KEY_EXTRA 3

struct query {
	struct list_node node;
	struct resolver *resolver; /* borrowed */
	struct asker asker;
	struct dns_query asked;
	struct watch watch;
	uint8_t *data; /* as the asker sent it; behind two bytes for the length */
	size_t size;
	unsigned tries;
	uint16_t id; /* towards the server */
	int64_t deadline_ns;
	bool orphaned; /* nobody waits for it any more */
	/* by TCP */
	size_t sent;
	uint8_t *answer;
	size_t received;
};

/* ---- which servers ---- */

/* The host's, read anew when the file changed; asked at most once a second. */
static const struct text_list *host_servers(struct resolver *resolver, int64_t now_ns)
{
	struct host_servers *host = &resolver->host;
	struct stat status;

	if (host->looked_ns && now_ns - host->looked_ns < LOOK_NS)
		return &host->items;
	host->looked_ns = now_ns;
	if (stat(resolver->resolv_conf, &status) < 0) {
		text_list_fini(&host->items);
		host->inode = 0;
	} else if (status.st_ino != host->inode || status.st_mtim.tv_sec != host->changed.tv_sec ||
		   status.st_mtim.tv_nsec != host->changed.tv_nsec) {
		host->inode = status.st_ino;
		host->changed = status.st_mtim;
		text_list_fini(&host->items);
		network_nameservers(&host->items, resolver->resolv_conf);
	}
	return &host->items;
}

static const struct text_list *servers_of(const struct query *query, int64_t now_ns)
{
	const struct scope *scope = query->asker.scope;

	return scope->servers.count ? &scope->servers : host_servers(query->resolver, now_ns);
}

/* "10.0.0.1", "fe80::1%eth0". */
static int server_address(struct sockaddr_storage *out_address, socklen_t *out_size, const char *text)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	const char *zone = strchr(text, '%');
	AUTO_FREE char *host = zone ? xstrndup(text, (size_t)(zone - text)) : xstrdup(text);
	struct net_address address;

	if (net_address_parse(&address, host) < 0)
		return -EINVAL;
	if (address.family == AF_INET) {
		memcpy(&v4.sin_addr, address.bytes, 4);
		memcpy(out_address, &v4, *out_size = sizeof(v4));
	} else {
		memcpy(&v6.sin6_addr, address.bytes, 16);
		v6.sin6_scope_id = zone ? if_nametoindex(zone + 1) : 0;
		memcpy(out_address, &v6, *out_size = sizeof(v6));
	}
	return address.family;
}

/* ---- a query's life ---- */

static void free_query(void *object)
{
	struct query *query = object;

	free(query->data);
	free(query->answer);
	free(query);
}

static void close_try(struct query *query)
{
	loop_remove(&query->resolver->loop, &query->watch);
	if (query->watch.ready && query->watch.fd >= 0)
		close(take_fd(&query->watch.fd));
	free(take_ptr(query->answer));
	query->received = query->sent = 0;
}

/* The watch lies in the query: it is freed when no event names it. */
static void end_query(struct query *query)
{
	close_try(query);
	list_remove(&query->node);
	query->resolver->query_count--;
	if (!query->orphaned)
		query->asker.scope->queries--;
	loop_bury(&query->resolver->loop, query, free_query);
}

static void fail_query(struct query *query)
{
	answer_failure(&query->asker, query->data + 2, &query->asked, DNS_SERVFAIL);
	end_query(query);
}

/* The question, and whatever else of the query makes the answer another. */
static size_t cache_key(uint8_t key[DNS_UDP_PLAIN], const struct asker *asker, const uint8_t *data,
			const struct dns_query *asked)
{
	AUTO_FREE char *servers = text_list_join(&asker->scope->servers, ",");
	size_t size = asked->question_size;
	size_t extra = strlen(servers) + 1;

	memcpy(key, data + DNS_HEADER_SIZE, size);
	for (size_t i = 0; i < size; i++)
		if (key[i] >= 'A' && key[i] <= 'Z')
			key[i] = (uint8_t)(key[i] - 'A' + 'a');
	key[size++] = asked->edns;
	key[size++] = asked->dnssec_ok;
	key[size++] = (uint8_t)(asked->checking_disabled | asked->recursion_desired << 1);
	if (extra > DNS_UDP_PLAIN - size)
		return 0; /* so many servers: not cached */
	memcpy(key + size, servers, extra);
	return size + extra;
}

static size_t client_limit(const struct query *query)
{
	return query->asker.client ? DNS_MESSAGE_MAX : query->asked.edns_size;
}

static void take_answer(struct query *query, uint8_t *answer, size_t size)
{
	uint8_t key[DNS_UDP_PLAIN];
	size_t key_size = cache_key(key, &query->asker, query->data + 2, &query->asked);
	uint32_t seconds;

	if (key_size && dns_response_lifetime(answer, size, &seconds))
		cache_put(query->resolver->cache, key, key_size, answer, size, clock_monotonic_ns(), seconds);
	size = dns_response_fit(answer, size, query->asked.id, client_limit(query));
	server_reply(&query->asker, answer, size);
	end_query(query);
}

static bool fits(const struct query *query, const uint8_t *answer, size_t size)
{
	return dns_response_fits(answer, size, query->data + 2, query->size, query->id);
}

/* A refusal is this server's opinion: another may know more. */
static bool is_refusal(const uint8_t *answer)
{
	unsigned code = answer[3] & 0x0f;

	return code == DNS_SERVFAIL || code == DNS_NOTIMP || code == 5;
}

static void start_try(struct query *query);

static void on_datagram(struct watch *watch, uint32_t events)
{
	struct query *query = list_entry(watch, struct query, watch);
	uint8_t answer[DNS_MESSAGE_MAX];
	ssize_t size = recv(watch->fd, answer, sizeof(answer), MSG_DONTWAIT);

	(void)events;
	if (size < 0 && errno != EAGAIN && errno != EINTR) {
		start_try(query); /* nobody listens there */
		return;
	}
	if (size < 0 || !fits(query, answer, (size_t)size))
		return;
	if (is_refusal(answer) && query->tries < TRIES)
		start_try(query);
	else
		take_answer(query, answer, (size_t)size);
}

/* true when all is sent. */
static bool send_more(struct query *query)
{
	ssize_t sent = send(query->watch.fd, query->data + query->sent, query->size + 2 - query->sent,
			    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0)
		return false;
	query->sent += (size_t)sent;
	return query->sent == query->size + 2;
}

static size_t announced(const struct query *query)
{
	return query->received < 2 ? 2 : 2 + (size_t)(query->answer[0] << 8 | query->answer[1]);
}

static void on_stream(struct watch *watch, uint32_t events)
{
	struct query *query = list_entry(watch, struct query, watch);
	ssize_t size;

	if (query->sent < query->size + 2) {
		if (events & (EPOLLERR | EPOLLHUP))
			start_try(query);
		else if (send_more(query))
			loop_change(&query->resolver->loop, watch, EPOLLIN);
		return;
	}
	if (!query->answer)
		query->answer = xmalloc(DNS_MESSAGE_MAX + 2);
	size = recv(watch->fd, query->answer + query->received, announced(query) - query->received, MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0) {
		start_try(query);
		return;
	}
	query->received += (size_t)size;
	if (query->received < 2 || query->received < announced(query))
		return;
	if (fits(query, query->answer + 2, query->received - 2)) {
		uint8_t *answer = take_ptr(query->answer);

		take_answer(query, answer + 2, query->received - 2);
		free(answer);
	} else {
		start_try(query);
	}
}

static int connect_to(struct query *query, const char *server)
{
	bool stream = query->asker.client != NULL;
	struct sockaddr_storage address = { 0 };
	socklen_t size = 0;
	int family = server_address(&address, &size, server);
	AUTO_CLOSE int fd = -1;

	if (family < 0)
		return family;
	fd = socket(family, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || (connect(fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS))
		return -errno;
	if (!stream && send(fd, query->data + 2, query->size, MSG_NOSIGNAL) < 0)
		return -errno;
	if (loop_add(&query->resolver->loop, &query->watch, fd, stream ? EPOLLOUT : EPOLLIN,
		     stream ? on_stream : on_datagram) < 0) {
		query->watch = (struct watch){ .fd = -1 }; /* it would be closed twice */
		return -EIO;
	}
	return take_fd(&fd);
}

/* The next server; SERVFAIL when all had their turn. */
static void start_try(struct query *query)
{
	int64_t now_ns = clock_monotonic_ns();
	const struct text_list *servers = servers_of(query, now_ns);

	close_try(query);
	list_remove(&query->node);
	query->deadline_ns = now_ns + TRY_NS;
	list_add_last(&query->resolver->queries, &query->node);
	while (servers->count && query->tries < TRIES) {
		const char *server = servers->items[query->tries++ % servers->count];

		if (connect_to(query, server) >= 0)
			return;
	}
	fail_query(query);
}

/* ---- from outside ---- */

static bool answer_from_cache(const struct asker *asker, const uint8_t *data, const struct dns_query *asked)
{
	uint8_t key[DNS_UDP_PLAIN], out[DNS_MESSAGE_MAX];
	size_t key_size = cache_key(key, asker, data, asked), size;
	uint32_t age_s;
	const uint8_t *kept = NULL;

	if (key_size)
		kept = cache_get(asker->scope->resolver->cache, key, key_size, clock_monotonic_ns(), &size, &age_s);
	if (!kept)
		return false;
	memcpy(out, kept, size);
	dns_response_age(out, size, age_s);
	/* The question as it was written this time: a client may mix cases on purpose. */
	memcpy(out + DNS_HEADER_SIZE, data + DNS_HEADER_SIZE, asked->question_size);
	size = dns_response_fit(out, size, asked->id, asker->client ? DNS_MESSAGE_MAX : asked->edns_size);
	return server_reply(asker, out, size);
}

void forward_query(const struct asker *asker, const uint8_t *data, size_t size, const struct dns_query *asked)
{
	struct scope *scope = asker->scope;
	struct resolver *resolver = scope->resolver;
	struct query *query;

	/* A network without a way out has none for questions either: they could carry anything. */
	if (!scope->forward || resolver->query_count >= QUERIES_MAX || scope->queries >= QUERIES_OF_ONE) {
		answer_failure(asker, data, asked, DNS_SERVFAIL);
		return;
	}
	if (answer_from_cache(asker, data, asked))
		return;
	query = xcalloc(1, sizeof(*query));
	query->resolver = resolver;
	query->asker = *asker;
	query->asked = *asked;
	query->data = xmalloc(size + 2);
	query->size = size;
	query->data[0] = (uint8_t)(size >> 8);
	query->data[1] = (uint8_t)size;
	memcpy(query->data + 2, data, size);
	random_bytes(&query->id, sizeof(query->id));
	query->data[2] = (uint8_t)(query->id >> 8);
	query->data[3] = (uint8_t)query->id;
	resolver->query_count++;
	scope->queries++;
	list_add_last(&resolver->queries, &query->node);
	start_try(query);
}

static void orphan(struct query *query)
{
	query->asker.scope->queries--;
	query->orphaned = true;
	end_query(query);
}

void forward_forget_scope(struct resolver *resolver, const struct scope *scope)
{
	LIST_FOR_EACH (node, &resolver->queries) {
		struct query *query = list_entry(node, struct query, node);

		if (query->asker.scope == scope)
			orphan(query);
	}
}

void forward_forget_client(struct resolver *resolver, const struct tcp_client *client)
{
	LIST_FOR_EACH (node, &resolver->queries) {
		struct query *query = list_entry(node, struct query, node);

		if (query->asker.client == client)
			orphan(query);
	}
}

int forward_expire(struct resolver *resolver, int64_t now_ns)
{
	struct list_node *node;

	while ((node = list_first(&resolver->queries))) {
		struct query *query = list_entry(node, struct query, node);

		if (query->deadline_ns > now_ns)
			return (int)((query->deadline_ns - now_ns) / CLOCK_MS) + 1;
		start_try(query);
	}
	return -1;
}
