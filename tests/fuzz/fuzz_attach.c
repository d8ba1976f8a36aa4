/* SPDX-License-Identifier: Apache-2.0 */
/* A client's bytes on an attach socket; what it sends as stdin goes, as output, through a json-file log. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "rpc/ttrpc_client.h"
#include "shim/attach.h"
#include "shim/json_log.h"
#include "shim/loop.h"
#include "json/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/t-fuzz-attach-XXXXXX";
static char log_path[64];
static char socket_path[64];

static void remove_directory(void)
{
	remove_tree(AT_FDCWD, directory);
}

static size_t take_input(void *context, const char *data, size_t size)
{
	json_log_write(context, JSON_LOG_STDOUT, data, size);
	return size;
}

static void end_input(void *context)
{
	json_log_end(context, JSON_LOG_STDERR);
}

static void ignore(void *context)
{
	(void)context;
}

static void no_timer(struct timer *timer)
{
	(void)timer;
}

/* Whatever came in, every line of the log is a JSON object. */
static void check_log(void)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *text = NULL;
	struct text_list lines = { 0 };

	if (file_read(&text, NULL, AT_FDCWD, log_path, 1 << 24) < 0)
		abort();
	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i + 1 < lines.count; i++) {
		AUTO(json_value_freep) struct json_value *value = NULL;

		/* docker writes a zero byte as an escape; our parser of documents refuses that, log readers do not. */
		if (strstr(lines.items[i], "\\u0000"))
			continue;
		if (json_value_parse(&value, lines.items[i], strlen(lines.items[i]), &err) < 0 ||
		    json_value_type(value) != JSON_TYPE_OBJECT)
			abort();
	}
	text_list_fini(&lines);
}

static void run(int bundle_fd, struct json_log *log, const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	const struct attach_owner owner = {
		.context = log, .input = take_input, .input_end = end_input, .drained = ignore
	};
	struct attach *attach = NULL;
	struct loop loop;
	int client;

	loop_init(&loop);
	if (attach_open(&attach, &loop, bundle_fd, "a", &owner, &err) < 0)
		abort();
	client = ttrpc_connect(socket_path, &err);
	if (client < 0 || write_full(client, data, size) < 0)
		abort();
	attach_accept(attach);
	attach_send(attach, ATTACH_STDOUT, (const char *)data, size);
	/* A frame is at least 8 bytes, and a turn takes a header or a part of its payload. */
	close(client);
	for (size_t i = 0; i < size / 4 + 4 && !list_empty(&loop.watches); i++) {
		struct timer timer = { 0 };

		loop_add_timer(&loop, &timer, 0, no_timer);
		loop_turn(&loop);
		loop_remove_timer(&timer);
	}
	attach_end(attach);
	attach_close(attach);
	loop_fini(&loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	AUTO(error_clear) struct error err = { 0 };
	AUTO(json_log_closep) struct json_log *log = NULL;
	AUTO_CLOSE int bundle_fd = -1;

	if (!ready) {
		if (!mkdtemp(directory) || atexit(remove_directory) != 0)
			abort();
		(void)snprintf(log_path, sizeof(log_path), "%s/log", directory);
		(void)snprintf(socket_path, sizeof(socket_path), "%s/a", directory);
		ready = true;
	}
	if (size > 65536)
		return 0;
	unlink(log_path);
	bundle_fd = open(directory, O_PATH | O_CLOEXEC);
	if (bundle_fd < 0 ||
	    json_log_open(&log, &(struct json_log_options){ .path = log_path, .max_size = 2000, .max_file = 2 }, &err) <
		    0)
		abort();
	run(bundle_fd, log, data, size);
	json_log_end(log, JSON_LOG_STDOUT);
	check_log();
	return 0;
}
