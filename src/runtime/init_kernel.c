/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "runtime/host_clone.h"
#include "runtime/host_net.h"
#include "runtime/init.h"
#include "runtime/net_device.h"
#include "runtime/sync.h"
#include "runtime/trace.h"
#include "sys/namespace.h"
#include "sys/proc_fs.h"

/* The raw calls: the libc's would talk to threads we do not have. */
int init_kernel_become_root(struct error *err)
{
	/* EPERM: setgroups was denied to an unprivileged mapping, so there is nothing to drop. */
	if (syscall(SYS_setgroups, 0, NULL) < 0 && errno != EPERM)
		return error_set_errno(err, ERR_INTERNAL, errno, "drop groups in the user namespace");
	if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
		return error_set_errno(err, ERR_INVALID, errno,
				       "become root in the user namespace (is container id 0 mapped?)");
	return 0;
}

/*
 * clone3 makes a time namespace that has begun already; offsets can be set only
 * before a process is in it. So: make it for children, set, then enter.
 */
static int enter_time_namespace(const struct plan *plan, struct error *err)
{
	AUTO(text_fini) struct text lines = { 0 };
	AUTO_CLOSE int fd = -1;
	int r;

	if (unshare(CLONE_NEWTIME) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make time namespace");
	for (size_t i = 0; i < plan->spec->linux_.time_offsets.count; i++) {
		const struct spec_time_offset *offset = &plan->spec->linux_.time_offsets.items[i];

		text_addf(&lines, "%s %lld %u\n", offset->key, (long long)offset->secs, offset->nanosecs);
	}
	r = lines.size ? file_write_once(AT_FDCWD, "/proc/self/timens_offsets", lines.data) : 0;
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "linux.timeOffsets");
	fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "enter time namespace");
	return 0;
}

/* For the host side to use. */
static void open_net_sockets(struct init *init, int route_fd)
{
	init->net_fds[RUNTIME_NET_ROUTE] = route_fd;
	host_net_open_others(init->net_fds);
}

static int bring_up_loopback(struct init *init, struct error *err)
{
	AUTO_CLOSE int fd = host_net_loopback();

	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, fd, "bring up lo in the new network namespace");
	if (init->plan->create->want_netlink)
		open_net_sockets(init, take_fd(&fd));
	return 0;
}

int init_kernel_join_net(struct init *init, struct error *err)
{
	AUTO(sync_message_fini) struct sync_message message = SYNC_MESSAGE_NONE;
	int r;

	if (!init->plan->host_makes_net || init->in_net)
		return 0;
	init->in_net = true;
	if (sync_receive(init->plan->sync_fd, &message, err) < 0)
		return -1;
	if (message.word != SYNC_NET)
		return error_set(err, ERR_CANCELED, "the runtime went away");
	r = message.fds[0] >= 0 ? namespace_join(message.fds[0], CLONE_NEWNET) : unshare(CLONE_NEWNET);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "enter the network namespace");
	if (message.fds[0] < 0 && bring_up_loopback(init, err) < 0)
		return -1;
	if (message.fds[0] >= 0 && init->plan->create->want_netlink)
		open_net_sockets(init, socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
	trace_mark(init->plan->runtime->trace, "wait for the network namespace");
	return 0;
}

/* Now that we are in the cgroup, it becomes the root of the namespace. */
int init_kernel_cgroup_namespace(const struct plan *plan, struct error *err)
{
	if (plan->new_namespaces & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make cgroup namespace");
	return 0;
}

int init_kernel_namespaces(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;

	if (host_clone_make_late(plan, err) < 0 || host_clone_join_rest(plan, err) < 0)
		return -1;
	if (init->joined && init_kernel_cgroup_namespace(plan, err) < 0)
		return -1;
	if (plan->new_namespaces & CLONE_NEWTIME && enter_time_namespace(plan, err) < 0)
		return -1;
	if (plan->new_namespaces & CLONE_NEWNET && !plan->host_makes_net && bring_up_loopback(init, err) < 0)
		return -1;
	return net_device_finish(plan, err);
}

static int write_sysctl(struct init *init, const struct text_pair *entry, struct error *err)
{
	AUTO_FREE char *path = xasprintf("sys/%s", entry->key);
	int r;

	/* "net.ipv4.conf.eth0/1.x" style: if slashes separate, dots are part of names. */
	if (!strchr(entry->key, '/'))
		for (char *at = path; *at; at++)
			if (*at == '.')
				*at = '/';
	r = proc_fs_write(init->proc_fd, path, text_or_empty(entry->value));
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "linux.sysctl: write \"%s\" to %s", entry->value,
				       entry->key);
	return 0;
}

static int write_sysctls(struct init *init, struct error *err)
{
	const struct text_map *sysctl = &init->plan->spec->linux_.sysctl;

	if (!sysctl->count)
		return 0;
	if (init_kernel_join_net(init, err) < 0)
		return -1;
	init->proc_fd = proc_fs_open(false);
	if (init->proc_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, init->proc_fd, "open a private /proc");
	for (size_t i = 0; i < sysctl->count; i++)
		if (write_sysctl(init, &sysctl->items[i], err) < 0)
			return -1;
	return 0;
}

int init_kernel_names(struct init *init, struct error *err)
{
	const struct spec *spec = init->plan->spec;

	if (!text_empty(spec->hostname) && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "set hostname %s", spec->hostname);
	if (!text_empty(spec->domainname) && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "set domainname %s", spec->domainname);
	return write_sysctls(init, err);
}
