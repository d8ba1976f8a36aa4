/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/control.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sys/fd_pass.h"

#define MESSAGE_MAX (16 * 1024 * 1024)

#define M struct control_message
const struct json_field control_message_fields[] = {
	JSON_TEXT("action", M, action, JSON_REQUIRED),
	JSON_TEXT("version", M, version, JSON_OMIT_EMPTY),
	JSON_TEXT("container", M, container, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("networks", M, networks, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("servers", M, servers, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("links", M, links, JSON_OMIT_EMPTY),
	JSON_BOOL("forward", M, forward, JSON_OMIT_EMPTY),
	JSON_TEXT("network", M, network, JSON_OMIT_EMPTY),
	JSON_TEXT("endpoint", M, endpoint, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("names", M, names, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("addresses", M, addresses, JSON_OMIT_EMPTY),
	JSON_TEXT("pointer", M, pointer, JSON_OMIT_EMPTY),
	JSON_END,
};
#undef M

int control_send(int fd, const struct control_message *message, const int *fds, size_t fd_count, struct error *err)
{
	AUTO_FREE char *text = json_encode(message, control_message_fields);
	uint32_t size = (uint32_t)strlen(text);
	int r = fd_pass_send(fd, &size, sizeof(size), fds, fd_count);

	if (r == 0)
		r = write_full(fd, text, size);
	return r < 0 ? error_set_errno(err, ERR_UNAVAILABLE, r, "tell the resolver") : 0;
}

static int receive_body(int fd, struct control_message *out_message, uint32_t size, struct error *err)
{
	AUTO_FREE char *text = NULL;
	ssize_t r;

	if (size > MESSAGE_MAX)
		return error_set(err, ERR_INVALID, "a control message of %u bytes", size);
	text = xmalloc(size + 1U);
	r = read_full(fd, text, size);
	if (r < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, (int)r, "read a control message");
	if ((size_t)r != size)
		return error_set(err, ERR_UNAVAILABLE, "a control message ends early");
	return json_decode(out_message, control_message_fields, text, size, err) < 0 ? -1 : 1;
}

int control_receive(int fd, struct control_message *out_message, int out_fds[CONTROL_FDS], size_t *count,
		    struct error *err)
{
	uint32_t size = 0;
	ssize_t r;

	*count = CONTROL_FDS;
	*out_message = (struct control_message){ 0 };
	r = fd_pass_receive(fd, &size, sizeof(size), out_fds, count);
	if (r == 0)
		return 0;
	if (r < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, (int)r, "read a control message");
	if (r == sizeof(size) && receive_body(fd, out_message, size, err) > 0)
		return 1;
	for (size_t i = 0; i < *count; i++)
		close(out_fds[i]);
	*count = 0;
	return error_is_set(err) ? -1 : error_set(err, ERR_UNAVAILABLE, "a control message ends early");
}
