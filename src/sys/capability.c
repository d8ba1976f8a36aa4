/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"

static const char *const names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

int capability_parse(const char *name)
{
	if (strncasecmp(name, "CAP_", 4) == 0)
		name += 4;
	for (size_t i = 0; i < NAME_COUNT; i++)
		if (strcasecmp(name, names[i] + 4) == 0)
			return (int)i;
	return -EINVAL;
}

const char *capability_name(unsigned bit)
{
	return bit < NAME_COUNT ? names[bit] : NULL;
}

unsigned capability_last(void)
{
	static unsigned last; /* the kernel does not change; a race writes the same value */

	if (!last) {
		unsigned bit = CAP_CHOWN;

		while (bit < 63 && prctl(PR_CAPBSET_READ, bit + 1, 0, 0, 0) >= 0)
			bit++;
		last = bit;
	}
	return last;
}

uint64_t capability_all(void)
{
	unsigned last = capability_last();

	return last >= 63 ? UINT64_MAX : (UINT64_C(1) << (last + 1)) - 1;
}

uint64_t capability_bounding(void)
{
	uint64_t mask = 0;

	for (unsigned bit = 0; bit <= capability_last(); bit++)
		if (prctl(PR_CAPBSET_READ, bit, 0, 0, 0) > 0)
			mask |= UINT64_C(1) << bit;
	return mask;
}

int capability_apply_bounding(uint64_t bounding)
{
	/* Asking the kernel bit by bit what there is would be as many calls again: EINVAL ends the bits it has. */
	for (unsigned bit = 0; bit < 64; bit++) {
		if (bounding >> bit & 1 || prctl(PR_CAPBSET_DROP, bit, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL && bit > CAP_CHOWN)
			return 0;
		/* Without CAP_SETPCAP: fine if it is not there anyway. */
		if (prctl(PR_CAPBSET_READ, bit, 0, 0, 0) != 0)
			return -errno;
	}
	return 0;
}

static int apply_ambient(uint64_t ambient)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	for (unsigned bit = 0; bit < 64; bit++)
		if (ambient >> bit & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0) < 0)
			return -errno;
	return 0;
}

int capability_apply(const struct capability_sets *sets)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	uint64_t permitted, effective, inheritable;

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	permitted = sets->permitted & ((uint64_t)data[1].permitted << 32 | data[0].permitted);
	effective = sets->effective & permitted;
	/* Inheritable may hold what is in the bounding set or what was inheritable; the former is all we ever grant. */
	inheritable = sets->inheritable ? sets->inheritable & capability_bounding() : 0;
	for (int i = 0; i < 2; i++) {
		data[i].permitted = (uint32_t)(permitted >> (32 * i));
		data[i].effective = (uint32_t)(effective >> (32 * i));
		data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return -errno;
	return apply_ambient(sets->ambient & permitted & inheritable);
}

int capability_keep(int on)
{
	return prctl(PR_SET_KEEPCAPS, on ? 1 : 0, 0, 0, 0) < 0 ? -errno : 0;
}
