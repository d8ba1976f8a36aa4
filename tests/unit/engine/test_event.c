/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/unit.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/event.h"

static void publish(struct event_bus *bus, const char *action, const char *id)
{
	struct text_map attributes = { 0 };

	text_map_set(&attributes, "name", "web");
	text_map_set(&attributes, "image", "busybox");
	event_publish(bus, "container", action, id, &attributes);
	text_map_fini(&attributes);
}

static void test_order_and_filter(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(event_bus_freep) struct event_bus *bus = event_bus_new();
	AUTO(event_unsubscribep) struct event_subscription *subscription = NULL;
	struct event event = { 0 };
	struct filter_set filters;
	struct event_query query = { .filters = &filters };

	(void)state;
	filter_set_init(&filters);
	filter_set_add(&filters, "event", "start");
	filter_set_add(&filters, "event", "exec_create");
	filter_set_add(&filters, "container", "web");
	assert_no_error(event_subscribe(&subscription, bus, &query, &err), &err);
	publish(bus, "create", "abc");
	publish(bus, "start", "abc");
	publish(bus, "exec_create: ls", "abc");
	event_publish(bus, "network", "start", "net", NULL);
	assert_int_equal(event_next(&event, subscription, -1, &err), 1);
	assert_string_equal(event.action, "start");
	event_fini(&event);
	assert_int_equal(event_next(&event, subscription, -1, &err), 1);
	assert_string_equal(event.action, "exec_create: ls");
	event_fini(&event);
	event_unsubscribe(take_ptr(subscription));
	filter_set_fini(&filters);
}

static void test_past_and_until(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(event_bus_freep) struct event_bus *bus = event_bus_new();
	AUTO(event_unsubscribep) struct event_subscription *subscription = NULL;
	struct event_query query = { .since_ns = 1 };
	struct event event = { 0 };
	int count = 0;

	(void)state;
	for (int i = 0; i < 300; i++)
		publish(bus, "start", "abc");
	query.until_ns = clock_wall_ns();
	assert_no_error(event_subscribe(&subscription, bus, &query, &err), &err);
	while (event_next(&event, subscription, -1, &err) > 0) {
		event_fini(&event);
		count++;
	}
	assert_false(error_is_set(&err));
	/* the ring holds the last 256 */
	assert_int_equal(count, 256);
	event_unsubscribe(take_ptr(subscription));
}

static int drain(struct event_subscription *subscription, int cancel_fd, struct error *err)
{
	struct event event = { 0 };
	int count = 0;

	while (event_next(&event, subscription, cancel_fd, err) > 0) {
		event_fini(&event);
		count++;
	}
	return count;
}

/* Whoever does not read is dropped, after what waited for it, and holds up nobody. */
static void test_slow_reader(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(event_bus_freep) struct event_bus *bus = event_bus_new();
	AUTO(event_unsubscribep) struct event_subscription *slow = NULL;
	AUTO(event_unsubscribep) struct event_subscription *fast = NULL;
	AUTO_CLOSE int cancel_fd = eventfd(0, EFD_CLOEXEC);
	const struct event_query query = { 0 };
	const uint64_t one = 1;
	int64_t taken_ns;
	int count = 0;

	(void)state;
	assert_int_equal(write(cancel_fd, &one, sizeof(one)), sizeof(one));
	assert_no_error(event_subscribe(&slow, bus, &query, &err), &err);
	assert_no_error(event_subscribe(&fast, bus, &query, &err), &err);
	taken_ns = clock_monotonic_ns();
	for (int i = 0; i < 40; i++) {
		for (int j = 0; j < 500; j++)
			publish(bus, "start", "abc");
		count += drain(fast, cancel_fd, &err);
		assert_int_equal(err.kind, ERR_CANCELED);
		error_clear(&err);
	}
	taken_ns = clock_monotonic_ns() - taken_ns;
	print_message("20000 events to one reader, beside one that does not read: %lld ms\n",
		      (long long)(taken_ns / CLOCK_MS));
	assert_int_equal(count, 20000);
	assert_int_equal(drain(slow, cancel_fd, &err), 1024);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.message, "more than 1024 of them behind"));
	event_unsubscribe(take_ptr(slow));
	event_unsubscribe(take_ptr(fast));
}

static void test_cancel(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(event_bus_freep) struct event_bus *bus = event_bus_new();
	AUTO(event_unsubscribep) struct event_subscription *subscription = NULL;
	AUTO_CLOSE int cancel_fd = eventfd(0, EFD_CLOEXEC);
	const struct event_query query = { 0 };
	const uint64_t one = 1;

	(void)state;
	assert_no_error(event_subscribe(&subscription, bus, &query, &err), &err);
	assert_int_equal(event_listener_count(bus), 1);
	for (int i = 0; i < 1024; i++)
		publish(bus, "start", "abc");
	assert_int_equal(write(cancel_fd, &one, sizeof(one)), sizeof(one));
	/* What waits comes first, then the cancellation. */
	assert_int_equal(drain(subscription, cancel_fd, &err), 1024);
	assert_int_equal(err.kind, ERR_CANCELED);
	event_unsubscribe(take_ptr(subscription));
}

static void test_encode(void **state)
{
	char type[] = "container";
	char action[] = "die";
	char id[] = "abc";
	struct event event = { .type = type, .action = action, .actor_id = id, .time_ns = 1500000000000000007 };
	AUTO_FREE char *text = NULL;

	(void)state;
	text_map_set(&event.attributes, "exitCode", "3");
	text = event_encode(&event);
	assert_string_equal(text, "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"abc\",\"Attributes\":"
				  "{\"exitCode\":\"3\"}},\"scope\":\"local\",\"time\":1500000000,"
				  "\"timeNano\":1500000000000000007}");
	text_map_fini(&event.attributes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_filter), cmocka_unit_test(test_past_and_until),
		cmocka_unit_test(test_slow_reader),	 cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_encode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
