/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/mount_option.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/mount.h>

#include "base/alloc.h"
#include "oci/runtime_spec.h"
#include "sys/mount_api.h"

enum word_kind {
	WORD_NOTHING, /* says what is the case anyway */
	WORD_BIND,
	WORD_RECURSIVE_BIND,
	WORD_SET,
	WORD_CLEAR,
	WORD_RECURSIVE_SET,
	WORD_RECURSIVE_CLEAR,
	WORD_PROPAGATION,
	WORD_SUPERBLOCK,
	WORD_SUPERBLOCK_CLEAR,
	WORD_IDMAP,
	WORD_RECURSIVE_IDMAP,
	WORD_COPY_UP
};

/* relatime is MOUNT_ATTR_RELATIME = 0: setting it means to clear the atime field. */
static const struct word {
	const char *name;
	enum word_kind kind;
	uint64_t flags;
} words[] = {
	{ "async", WORD_SUPERBLOCK_CLEAR, MS_SYNCHRONOUS },
	{ "atime", WORD_CLEAR, MOUNT_ATTR__ATIME },
	{ "bind", WORD_BIND, 0 },
	{ "defaults", WORD_NOTHING, 0 },
	{ "dev", WORD_CLEAR, MOUNT_ATTR_NODEV },
	{ "diratime", WORD_CLEAR, MOUNT_ATTR_NODIRATIME },
	{ "dirsync", WORD_SUPERBLOCK, MS_DIRSYNC },
	{ "exec", WORD_CLEAR, MOUNT_ATTR_NOEXEC },
	{ "idmap", WORD_IDMAP, 0 },
	{ "iversion", WORD_SUPERBLOCK, MS_I_VERSION },
	{ "lazytime", WORD_SUPERBLOCK, MS_LAZYTIME },
	{ "loud", WORD_NOTHING, 0 },
	{ "mand", WORD_SUPERBLOCK, MS_MANDLOCK },
	{ "noatime", WORD_SET, MOUNT_ATTR_NOATIME },
	{ "nodev", WORD_SET, MOUNT_ATTR_NODEV },
	{ "nodiratime", WORD_SET, MOUNT_ATTR_NODIRATIME },
	{ "noexec", WORD_SET, MOUNT_ATTR_NOEXEC },
	{ "noiversion", WORD_SUPERBLOCK_CLEAR, MS_I_VERSION },
	{ "nolazytime", WORD_SUPERBLOCK_CLEAR, MS_LAZYTIME },
	{ "nomand", WORD_SUPERBLOCK_CLEAR, MS_MANDLOCK },
	{ "norelatime", WORD_CLEAR, MOUNT_ATTR__ATIME },
	{ "nostrictatime", WORD_CLEAR, MOUNT_ATTR__ATIME },
	{ "nosuid", WORD_SET, MOUNT_ATTR_NOSUID },
	{ "nosymfollow", WORD_SET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "private", WORD_PROPAGATION, MS_PRIVATE },
	{ "ratime", WORD_RECURSIVE_CLEAR, MOUNT_ATTR__ATIME },
	{ "rbind", WORD_RECURSIVE_BIND, 0 },
	{ "rdev", WORD_RECURSIVE_CLEAR, MOUNT_ATTR_NODEV },
	{ "rdiratime", WORD_RECURSIVE_CLEAR, MOUNT_ATTR_NODIRATIME },
	{ "relatime", WORD_CLEAR, MOUNT_ATTR__ATIME },
	{ "remount", WORD_NOTHING, 0 },
	{ "rexec", WORD_RECURSIVE_CLEAR, MOUNT_ATTR_NOEXEC },
	{ "ridmap", WORD_RECURSIVE_IDMAP, 0 },
	{ "rnoatime", WORD_RECURSIVE_SET, MOUNT_ATTR_NOATIME },
	{ "rnodev", WORD_RECURSIVE_SET, MOUNT_ATTR_NODEV },
	{ "rnodiratime", WORD_RECURSIVE_SET, MOUNT_ATTR_NODIRATIME },
	{ "rnoexec", WORD_RECURSIVE_SET, MOUNT_ATTR_NOEXEC },
	{ "rnorelatime", WORD_RECURSIVE_CLEAR, MOUNT_ATTR__ATIME },
	{ "rnostrictatime", WORD_RECURSIVE_CLEAR, MOUNT_ATTR__ATIME },
	{ "rnosuid", WORD_RECURSIVE_SET, MOUNT_ATTR_NOSUID },
	{ "rnosymfollow", WORD_RECURSIVE_SET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "ro", WORD_SET, MOUNT_ATTR_RDONLY },
	{ "rprivate", WORD_PROPAGATION, MS_PRIVATE | MS_REC },
	{ "rrelatime", WORD_RECURSIVE_CLEAR, MOUNT_ATTR__ATIME },
	{ "rro", WORD_RECURSIVE_SET, MOUNT_ATTR_RDONLY },
	{ "rrw", WORD_RECURSIVE_CLEAR, MOUNT_ATTR_RDONLY },
	{ "rshared", WORD_PROPAGATION, MS_SHARED | MS_REC },
	{ "rslave", WORD_PROPAGATION, MS_SLAVE | MS_REC },
	{ "rstrictatime", WORD_RECURSIVE_SET, MOUNT_ATTR_STRICTATIME },
	{ "rsuid", WORD_RECURSIVE_CLEAR, MOUNT_ATTR_NOSUID },
	{ "rsymfollow", WORD_RECURSIVE_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "runbindable", WORD_PROPAGATION, MS_UNBINDABLE | MS_REC },
	{ "rw", WORD_CLEAR, MOUNT_ATTR_RDONLY },
	{ "shared", WORD_PROPAGATION, MS_SHARED },
	{ "silent", WORD_SUPERBLOCK, MS_SILENT },
	{ "slave", WORD_PROPAGATION, MS_SLAVE },
	{ "strictatime", WORD_SET, MOUNT_ATTR_STRICTATIME },
	{ "suid", WORD_CLEAR, MOUNT_ATTR_NOSUID },
	{ "symfollow", WORD_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "sync", WORD_SUPERBLOCK, MS_SYNCHRONOUS },
	{ "tmpcopyup", WORD_COPY_UP, 0 },
	{ "unbindable", WORD_PROPAGATION, MS_UNBINDABLE },
};
#define WORD_COUNT (sizeof(words) / sizeof(words[0]))

static const struct word *find(const char *name)
{
	for (size_t i = 0; i < WORD_COUNT; i++)
		if (text_equal(words[i].name, name))
			return &words[i];
	return NULL;
}

const char *mount_options_known(size_t index)
{
	return index < WORD_COUNT ? words[index].name : NULL;
}

uint64_t mount_options_propagation(const char *name)
{
	const struct word *word = name ? find(name) : NULL;

	return word && word->kind == WORD_PROPAGATION ? word->flags : 0;
}

/* The three ways of atime are one field: a later word replaces an earlier one. */
static void change(uint64_t *set, uint64_t *clear, uint64_t on, uint64_t off)
{
	if ((on | off) & MOUNT_ATTR__ATIME) {
		*set &= ~(uint64_t)MOUNT_ATTR__ATIME;
		*clear |= MOUNT_ATTR__ATIME;
		off &= ~(uint64_t)MOUNT_ATTR__ATIME;
	}
	*set = (*set | on) & ~off;
	*clear = (*clear | off) & ~(on & ~(uint64_t)MOUNT_ATTR__ATIME);
}

static int apply(struct mount_options *options, const struct word *word, struct error *err)
{
	switch (word->kind) {
	case WORD_RECURSIVE_BIND:
		options->recursive_bind = true;
		options->bind = true;
		break;
	case WORD_BIND:
		options->bind = true;
		break;
	case WORD_SET:
		change(&options->attr_set, &options->attr_clear, word->flags, 0);
		break;
	case WORD_CLEAR:
		change(&options->attr_set, &options->attr_clear, 0, word->flags);
		break;
	case WORD_RECURSIVE_SET:
		change(&options->recursive_set, &options->recursive_clear, word->flags, 0);
		break;
	case WORD_RECURSIVE_CLEAR:
		change(&options->recursive_set, &options->recursive_clear, 0, word->flags);
		break;
	case WORD_PROPAGATION:
		if (options->propagation_count == sizeof(options->propagation) / sizeof(options->propagation[0]))
			return error_set(err, ERR_INVALID, "more than four propagation options");
		options->propagation[options->propagation_count++] = word->flags;
		break;
	case WORD_SUPERBLOCK:
		options->superblock |= word->flags;
		break;
	case WORD_SUPERBLOCK_CLEAR:
		options->superblock &= ~word->flags;
		break;
	case WORD_RECURSIVE_IDMAP:
		options->recursive_idmap = true;
		options->idmap = true;
		break;
	case WORD_IDMAP:
		options->idmap = true;
		break;
	case WORD_COPY_UP:
		options->copy_up = true;
		break;
	case WORD_NOTHING:
		break;
	}
	return 0;
}

int mount_options_parse(struct mount_options *out_options, const struct text_list *list, struct error *err)
{
	struct mount_options options = { 0 };

	for (size_t i = 0; i < list->count; i++) {
		const struct word *word = find(list->items[i]);
		const char *subpath = text_after(list->items[i], MOUNT_OPTION_SUBPATH);

		if (subpath) {
			free(options.subpath);
			options.subpath = xstrdup(subpath);
		} else if (!word) {
			if (options.data.size)
				text_add_char(&options.data, ',');
			text_add(&options.data, list->items[i]);
		} else if (apply(&options, word, err) < 0) {
			mount_options_fini(&options);
			return -1;
		}
	}
	*out_options = options;
	return 0;
}

void mount_options_fini(struct mount_options *options)
{
	text_fini(&options->data);
	free(options->subpath);
	options->subpath = NULL;
}
