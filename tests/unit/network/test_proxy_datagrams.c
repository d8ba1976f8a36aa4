/* SPDX-License-Identifier: Apache-2.0 */
#include "network/proxy_datagrams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "unit/unit.h"

#define PATIENCE_MS 60000

/* A socket at [::1]; its address. -1: no IPv6 here. */
static int open_socket(struct sockaddr_in6 *out_address)
{
	socklen_t size = sizeof(*out_address);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*out_address = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	if (fd < 0 || bind(fd, (struct sockaddr *)out_address, size) < 0 ||
	    getsockname(fd, (struct sockaddr *)out_address, &size) < 0) {
		/* A kernel or a namespace without IPv6, nothing else, leaves the tests out. */
		assert_true(errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
		return -1;
	}
	return fd;
}

static void await(int fd)
{
	struct pollfd fds = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&fds, 1, PATIENCE_MS), 1);
}

/* One turn of the program: who is heard from is waited for by the caller. */
static void turn(struct datagrams *datagrams, bool heard)
{
	struct pollfd fds[FLOWS_MAX];
	size_t count = datagrams_fill(datagrams, fds);

	assert_true(poll(fds, count, 0) >= 0);
	datagrams_serve(datagrams, fds, count, heard);
}

struct scene {
	struct datagrams *datagrams;
	struct sockaddr_in6 door;
	int target_fd;
	int client_fd;
};

static int set_up(void **state)
{
	struct scene *scene = xcalloc(1, sizeof(*scene));
	struct sockaddr_in6 client;

	scene->datagrams = xcalloc(1, sizeof(*scene->datagrams));
	scene->datagrams->listener = open_socket(&scene->door);
	scene->target_fd = open_socket(&scene->datagrams->target);
	scene->client_fd = open_socket(&client);
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	for (size_t i = 0; i < scene->datagrams->count; i++)
		close(scene->datagrams->flows[i].fd);
	close(scene->datagrams->listener);
	close(scene->target_fd);
	close(scene->client_fd);
	free(scene->datagrams);
	free(scene);
	return 0;
}

/* A client's word arrives at the door. */
static void say(const struct scene *scene, const char *word)
{
	assert_int_equal(sendto(scene->client_fd, word, strlen(word), 0, (const struct sockaddr *)&scene->door,
				sizeof(scene->door)),
			 strlen(word));
	await(scene->datagrams->listener);
}

static void test_there_and_back(void **state)
{
	struct scene *scene = *state;
	struct datagrams *datagrams = scene->datagrams;
	struct sockaddr_in6 from;
	socklen_t size = sizeof(from);
	char word[16];

	if (datagrams->listener < 0)
		skip();
	for (int i = 0; i < 2; i++) {
		say(scene, "there");
		turn(datagrams, true);
		/* The same client again is no new one. */
		assert_int_equal(datagrams->count, 1);
		await(scene->target_fd);
		assert_int_equal(recvfrom(scene->target_fd, word, sizeof(word), 0, (struct sockaddr *)&from, &size), 5);
		assert_int_equal(sendto(scene->target_fd, "back", 4, 0, (struct sockaddr *)&from, size), 4);
		await(datagrams->flows[0].fd);
		turn(datagrams, false);
		await(scene->client_fd);
		assert_int_equal(recv(scene->client_fd, word, sizeof(word), 0), 4);
		assert_memory_equal(word, "back", 4);
	}
	/* An empty one is one too, and a silent client is forgotten. */
	say(scene, "");
	turn(datagrams, true);
	await(scene->target_fd);
	assert_int_equal(recv(scene->target_fd, word, sizeof(word), 0), 0);
	datagrams->flows[0].used_ns -= (FLOW_IDLE_MS + 1) * CLOCK_MS;
	turn(datagrams, false);
	assert_int_equal(datagrams->count, 0);
}

/* A newer client takes the place of who was silent the longest. */
static void test_full(void **state)
{
	struct scene *scene = *state;
	struct datagrams *datagrams = scene->datagrams;
	int64_t now = clock_monotonic_ns();

	if (datagrams->listener < 0)
		skip();
	for (uint16_t i = 0; i < FLOWS_MAX; i++)
		datagrams->flows[datagrams->count++] =
			(struct flow){ .client = { .sin6_family = AF_INET6, .sin6_port = i, .sin6_scope_id = 7 },
				       .fd = dup(scene->target_fd),
				       .used_ns = i == 100 ? now - CLOCK_SECOND : now };
	say(scene, "new");
	turn(datagrams, true);
	assert_int_equal(datagrams->count, FLOWS_MAX);
	for (size_t i = 0; i < datagrams->count; i++)
		assert_false(datagrams->flows[i].client.sin6_scope_id == 7 &&
			     datagrams->flows[i].client.sin6_port == 100);
	await(scene->target_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
