/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/random.h"
#include "resolver/resolver.h"

#define DATAGRAMS_A_TURN 32
#define SILENCE_NS (10 * CLOCK_SECOND)
#define OUTPUT_MAX (256 * 1024) /* of answers a client does not fetch */

/* One TCP connection of a container. */
struct tcp_client {
	struct list_node node;
	struct scope *scope;
	struct watch watch;
	uint8_t *input;
	size_t input_size;
	uint8_t *output;
	size_t output_size;
	size_t output_capacity;
	int64_t heard_ns;
};

/* ---- TCP clients ---- */

static void free_client(void *object)
{
	struct tcp_client *client = object;

	free(client->input);
	free(client->output);
	free(client);
}

static void end_client(struct tcp_client *client)
{
	struct resolver *resolver = client->scope->resolver;

	forward_forget_client(resolver, client);
	loop_remove(&resolver->loop, &client->watch);
	close(client->watch.fd);
	list_remove(&client->node);
	client->scope->clients--;
	resolver->client_count--;
	loop_bury(&resolver->loop, client, free_client);
}

static void heard(struct tcp_client *client)
{
	client->heard_ns = clock_monotonic_ns();
	list_remove(&client->node);
	list_add_last(&client->scope->resolver->clients, &client->node);
}

static void flush(struct tcp_client *client)
{
	ssize_t sent = send(client->watch.fd, client->output, client->output_size, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent > 0) {
		client->output_size -= (size_t)sent;
		memmove(client->output, client->output + sent, client->output_size);
	}
	loop_change(&client->scope->resolver->loop, &client->watch, client->output_size ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static bool reply_by_stream(struct tcp_client *client, const uint8_t *data, size_t size)
{
	if (client->watch.dead || client->output_size + size + 2 > OUTPUT_MAX)
		return false;
	client->output = xgrow(client->output, &client->output_capacity, client->output_size + size + 2, 1);
	client->output[client->output_size++] = (uint8_t)(size >> 8);
	client->output[client->output_size++] = (uint8_t)size;
	memcpy(client->output + client->output_size, data, size);
	client->output_size += size;
	flush(client);
	return true;
}

/* All whole messages; several may come at once, and be answered in any order (RFC 7766). */
static void take_messages(struct tcp_client *client)
{
	size_t at = 0;

	while (!client->watch.dead && client->input_size - at >= 2) {
		const struct asker asker = { .scope = client->scope, .client = client };
		size_t size = (size_t)(client->input[at] << 8 | client->input[at + 1]);

		if (client->input_size - at - 2 < size)
			break;
		answer_query(&asker, client->input + at + 2, size);
		at += 2 + size;
	}
	memmove(client->input, client->input + at, client->input_size - at);
	client->input_size -= at;
}

static void on_client(struct watch *watch, uint32_t events)
{
	struct tcp_client *client = list_entry(watch, struct tcp_client, watch);
	ssize_t size;

	if (events & EPOLLOUT)
		flush(client);
	if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		return;
	size = recv(watch->fd, client->input + client->input_size, DNS_MESSAGE_MAX + 2 - client->input_size,
		    MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0) {
		end_client(client);
		return;
	}
	client->input_size += (size_t)size;
	heard(client);
	take_messages(client);
}

static void on_connection(struct watch *watch, uint32_t events)
{
	struct scope *scope = list_entry(watch, struct scope, tcp);
	struct resolver *resolver = scope->resolver;
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct tcp_client *client;

	(void)events;
	if (fd < 0)
		return;
	if (resolver->client_count >= CLIENTS_MAX || scope->clients >= CLIENTS_OF_ONE) {
		close(fd);
		return;
	}
	client = xcalloc(1, sizeof(*client));
	client->scope = scope;
	client->input = xmalloc(DNS_MESSAGE_MAX + 2);
	if (loop_add(&resolver->loop, &client->watch, fd, EPOLLIN, on_client) < 0) {
		close(fd);
		free_client(client);
		return;
	}
	scope->clients++;
	resolver->client_count++;
	list_add_last(&resolver->clients, &client->node);
	heard(client);
}

int server_expire(struct resolver *resolver, int64_t now_ns)
{
	struct list_node *node;

	while ((node = list_first(&resolver->clients))) {
		struct tcp_client *client = list_entry(node, struct tcp_client, node);

		if (client->heard_ns + SILENCE_NS > now_ns)
			return (int)((client->heard_ns + SILENCE_NS - now_ns) / CLOCK_MS) + 1;
		end_client(client);
	}
	return -1;
}

/* ---- datagrams ---- */

static void on_datagrams(struct watch *watch, uint32_t events)
{
	struct scope *scope = list_entry(watch, struct scope, udp);
	uint8_t data[DNS_MESSAGE_MAX];

	(void)events;
	/* Then the others have their turn. */
	for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
		struct asker asker = { .scope = scope };
		socklen_t size = sizeof(asker.from);
		ssize_t got = recvfrom(watch->fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&asker.from,
				       &size);

		if (got < 0)
			return;
		answer_query(&asker, data, (size_t)got);
	}
}

bool server_reply(const struct asker *asker, const uint8_t *data, size_t size)
{
	if (asker->client)
		return reply_by_stream(asker->client, data, size);
	return sendto(asker->scope->udp.fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT,
		      (const struct sockaddr *)&asker->from, sizeof(asker->from)) >= 0;
}

/* ---- scopes ---- */

static void free_scope(void *object)
{
	struct scope *scope = object;

	text_list_fini(&scope->networks);
	text_list_fini(&scope->servers);
	text_map_fini(&scope->links);
	free(scope->id);
	free(scope);
}

struct scope *scope_new(struct resolver *resolver, const char *id, int udp_fd, int tcp_fd)
{
	struct scope *scope = xcalloc(1, sizeof(*scope));

	scope->resolver = resolver;
	scope->id = xstrdup(id);
	if (loop_add(&resolver->loop, &scope->udp, udp_fd, EPOLLIN, on_datagrams) < 0) {
		free_scope(scope);
		return NULL;
	}
	if (loop_add(&resolver->loop, &scope->tcp, tcp_fd, EPOLLIN, on_connection) < 0) {
		loop_remove(&resolver->loop, &scope->udp);
		loop_bury(&resolver->loop, scope, free_scope);
		return NULL;
	}
	map_set(&resolver->scopes, id, scope);
	return scope;
}

void scope_end(struct scope *scope)
{
	struct resolver *resolver = scope->resolver;

	LIST_FOR_EACH (node, &resolver->clients) {
		struct tcp_client *client = list_entry(node, struct tcp_client, node);

		if (client->scope == scope)
			end_client(client);
	}
	forward_forget_scope(resolver, scope);
	loop_remove(&resolver->loop, &scope->udp);
	loop_remove(&resolver->loop, &scope->tcp);
	close(scope->udp.fd);
	close(scope->tcp.fd);
	map_take(&resolver->scopes, scope->id);
	loop_bury(&resolver->loop, scope, free_scope);
}

/* ---- all together ---- */

void resolver_init(struct resolver *resolver, const char *resolv_conf)
{
	uint64_t secret;

	resolver->resolv_conf = resolv_conf;
	map_init(&resolver->scopes, NULL);
	names_init(&resolver->names);
	list_init(&resolver->queries);
	list_init(&resolver->clients);
	random_bytes(&secret, sizeof(secret));
	resolver->cache = cache_new(CACHE_PLACES, secret);
}

void resolver_fini(struct resolver *resolver)
{
	struct scope *scope;

	for (size_t at = 0; (scope = map_next(&resolver->scopes, &at, NULL)); at = 0)
		scope_end(scope);
	loop_close(&resolver->loop);
	map_fini(&resolver->scopes);
	names_fini(&resolver->names);
	cache_free(resolver->cache);
	text_list_fini(&resolver->host.items);
}

void resolver_turn(struct resolver *resolver)
{
	int64_t now_ns = clock_monotonic_ns();
	int queries_ms = forward_expire(resolver, now_ns);
	int clients_ms = server_expire(resolver, now_ns);

	loop_turn(&resolver->loop,
		  queries_ms < 0 || (clients_ms >= 0 && clients_ms < queries_ms) ? clients_ms : queries_ms);
}
