/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of RUN --mount=type=...,key=value,... */
#include <string.h>

#include "base/alloc.h"
#include "base/path.h"
#include "builder/build_private.h"

struct fields {
	char *type;
	char *target;
	char *source;
	char *from;
	char *id;
	char *sharing;
	char *size;
	char *mode;
	char *uid;
	char *gid;
	char *variable;
	char *required;
	char *read_only;
	char *writable;
};

static void fields_fini(struct fields *fields)
{
	char **all = (char **)fields;

	for (size_t i = 0; i < sizeof(*fields) / sizeof(*all); i++)
		free(all[i]);
}

static char **find_field(struct fields *fields, const char *key)
{
	const struct {
		const char *key;
		char **place;
	} keys[] = {
		{ "type", &fields->type },
		{ "target", &fields->target },
		{ "dst", &fields->target },
		{ "destination", &fields->target },
		{ "source", &fields->source },
		{ "src", &fields->source },
		{ "from", &fields->from },
		{ "id", &fields->id },
		{ "sharing", &fields->sharing },
		{ "size", &fields->size },
		{ "mode", &fields->mode },
		{ "uid", &fields->uid },
		{ "gid", &fields->gid },
		{ "env", &fields->variable },
		{ "required", &fields->required },
		{ "ro", &fields->read_only },
		{ "readonly", &fields->read_only },
		{ "rw", &fields->writable },
		{ "readwrite", &fields->writable },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (text_equal_ignoring_case(keys[i].key, key))
			return keys[i].place;
	return NULL;
}

static int read_field(struct fields *fields, struct compiler *compiler, const char *field, struct error *err)
{
	const char *equals = strchr(field, '=');
	AUTO_FREE char *key = equals ? xstrndup(field, (size_t)(equals - field)) : xstrdup(field);
	char **place = find_field(fields, key);
	bool is_flag = place == &fields->required || place == &fields->read_only || place == &fields->writable;

	if (!place)
		return error_set(err, ERR_INVALID, "unexpected key '%s' in '%s'", key, field);
	if (!equals && !is_flag)
		return error_set(err, ERR_INVALID, "invalid field '%s' must be a key=value pair", field);
	free(*place);
	*place = NULL;
	if (!equals) {
		*place = xstrdup("true");
		return 0;
	}
	if (place == &fields->from && strchr(equals, '$'))
		return error_set(err, ERR_INVALID,
				 "'from' doesn't support variable expansion, define alias stage instead");
	return compiler_expand(place, compiler, equals + 1, err);
}

static int read_fields(struct fields *fields, struct compiler *compiler, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };

	text_list_split(&parts, text, ',');
	for (size_t i = 0; i < parts.count; i++)
		if (read_field(fields, compiler, parts.items[i], err) < 0)
			return -1;
	return 0;
}

/* ---- values ---- */

static int read_flag(bool *out_on, const char *text, const char *key, struct error *err)
{
	if (!text)
		return 0;
	if (!text_equal_ignoring_case(text, "true") && !text_equal_ignoring_case(text, "false") &&
	    !text_equal(text, "1") && !text_equal(text, "0"))
		return error_set(err, ERR_INVALID, "invalid value for %s: %s", key, text);
	*out_on = text_equal_ignoring_case(text, "true") || text_equal(text, "1");
	return 0;
}

static int read_number(uint32_t *out_value, const char *text, const char *key, struct error *err)
{
	uint64_t value;

	if (!text)
		return 0;
	if (text_parse_u64(&value, text, UINT32_MAX - 1) < 0)
		return error_set(err, ERR_INVALID, "invalid value %s for %s", text, key);
	*out_value = (uint32_t)value;
	return 0;
}

static int read_owner(struct run_mount *mount, const struct fields *fields, struct error *err)
{
	if (fields->mode && text_parse_octal(&mount->mode, fields->mode, 07777) < 0)
		return error_set(err, ERR_INVALID, "invalid value %s for mode", fields->mode);
	if (read_number(&mount->uid, fields->uid, "uid", err) < 0)
		return -1;
	return read_number(&mount->gid, fields->gid, "gid", err);
}

static int refuse(const struct fields *fields, const char *const *keys, struct error *err)
{
	for (; *keys; keys++) {
		char **place = find_field((struct fields *)(uintptr_t)fields, *keys);

		if (place && *place)
			return error_set(err, ERR_INVALID, "unexpected key '%s' for mount type '%s'", *keys,
					 text_or_empty(fields->type));
	}
	return 0;
}

static int read_target(struct run_mount *mount, const struct compiler *compiler, const char *target, struct error *err)
{
	const char *workdir = compiler->stage->config.config.working_dir;
	AUTO_FREE char *joined = NULL;

	if (text_empty(target))
		return error_set(err, ERR_INVALID, "mount target is missing");
	joined = path_is_absolute(target) ? xstrdup(target) : path_join(text_empty(workdir) ? "/" : workdir, target);
	mount->target = path_clean(joined);
	if (text_equal(mount->target, "/"))
		return error_set(err, ERR_INVALID, "invalid mount target \"%s\"", target);
	return 0;
}

/* ---- kinds ---- */

static int make_bind(struct run_mount *mount, const struct fields *fields, struct compiler *compiler, struct error *err)
{
	static const char *const not_here[] = {
		"mode", "uid", "gid", "id", "sharing", "size", "env", "required", NULL
	};
	struct node *content;

	if (refuse(fields, not_here, err) < 0 || read_target(mount, compiler, fields->target, err) < 0)
		return -1;
	content = graph_add(&compiler->build->graph, NODE_COPY, NULL);
	content->description = xasprintf("RUN --mount %s", mount->target);
	mount->content = content;
	text_list_add(&content->copy.sources, text_empty(fields->source) ? "." : fields->source);
	/* A file becomes this file, a directory this directory. */
	content->copy.destination = xstrdup("/mounted");
	return fields->from ? compile_source(&content->copy, compiler, fields->from, err) : 0;
}

static int make_cache(struct run_mount *mount, const struct fields *fields, struct compiler *compiler,
		      struct error *err)
{
	static const char *const not_here[] = { "size", "env", "required", NULL };

	mount->writable = true;
	mount->mode = 0755;
	if (refuse(fields, not_here, err) < 0 || read_target(mount, compiler, fields->target, err) < 0)
		return -1;
	if (fields->from || fields->source)
		return error_set(err, ERR_UNSUPPORTED, "a cache mount that starts from files is not supported");
	mount->id = xstrdup(text_empty(fields->id) ? mount->target : fields->id);
	if (text_equal(fields->sharing, "private"))
		mount->sharing = SHARING_PRIVATE;
	else if (text_equal(fields->sharing, "locked"))
		mount->sharing = SHARING_LOCKED;
	else if (fields->sharing && !text_equal(fields->sharing, "shared"))
		return error_set(err, ERR_INVALID, "unsupported sharing value \"%s\"", fields->sharing);
	return read_owner(mount, fields, err);
}

static int make_tmpfs(struct run_mount *mount, const struct fields *fields, struct compiler *compiler,
		      struct error *err)
{
	static const char *const not_here[] = { "mode",	    "uid",  "gid",    "id",	  "sharing", "env",
						"required", "from", "source", "readonly", NULL };

	if (refuse(fields, not_here, err) < 0 || read_target(mount, compiler, fields->target, err) < 0)
		return -1;
	mount->writable = true;
	if (fields->size && (text_parse_size(&mount->size_bytes, fields->size) < 0 || mount->size_bytes < 0))
		return error_set(err, ERR_INVALID, "invalid value for size: %s", fields->size);
	return 0;
}

static int make_secret(struct run_mount *mount, const struct fields *fields, struct compiler *compiler,
		       struct error *err)
{
	static const char *const not_here[] = { "from", "sharing", "size", "readwrite", NULL };
	const char *id = text_empty(fields->id) ? fields->source : fields->id;
	AUTO_FREE char *usual = NULL;

	mount->mode = 0400;
	if (refuse(fields, not_here, err) < 0 || read_flag(&mount->required, fields->required, "required", err) < 0 ||
	    read_owner(mount, fields, err) < 0)
		return -1;
	if (text_empty(id))
		id = fields->target ? path_base(fields->target) : fields->variable;
	if (text_empty(id))
		return error_set(err, ERR_INVALID, "a secret needs an id or a target");
	mount->id = xstrdup(id);
	mount->variable = xstrdup(fields->variable);
	if (mount->variable && !fields->target)
		return 0;
	usual = xasprintf("/run/secrets/%s", path_base(id));
	return read_target(mount, compiler, fields->target ? fields->target : usual, err);
}

static int make_ssh(struct run_mount *mount, const struct fields *fields, struct compiler *compiler, struct error *err)
{
	static const char *const not_here[] = { "from", "source", "sharing", "size", "env", "readwrite", NULL };

	mount->mode = 0600;
	mount->id = xstrdup(text_empty(fields->id) ? "default" : fields->id);
	if (refuse(fields, not_here, err) < 0 || read_flag(&mount->required, fields->required, "required", err) < 0 ||
	    read_owner(mount, fields, err) < 0)
		return -1;
	return fields->target ? read_target(mount, compiler, fields->target, err) : 0;
}

static int make(struct run_mount *mount, const struct fields *fields, struct compiler *compiler, struct error *err)
{
	const char *type = text_empty(fields->type) ? "bind" : fields->type;

	if (text_equal(type, "bind")) {
		mount->kind = RUN_BIND;
		return make_bind(mount, fields, compiler, err);
	}
	if (text_equal(type, "cache")) {
		mount->kind = RUN_CACHE;
		return make_cache(mount, fields, compiler, err);
	}
	if (text_equal(type, "tmpfs")) {
		mount->kind = RUN_TMPFS;
		return make_tmpfs(mount, fields, compiler, err);
	}
	if (text_equal(type, "secret")) {
		mount->kind = RUN_SECRET;
		return make_secret(mount, fields, compiler, err);
	}
	if (text_equal(type, "ssh")) {
		mount->kind = RUN_SSH;
		return make_ssh(mount, fields, compiler, err);
	}
	return error_set(err, ERR_INVALID, "unsupported mount type \"%s\"", type);
}

int compile_mounts(struct exec_data *exec, struct compiler *compiler, const struct text_list *flags, struct error *err)
{
	size_t capacity = 0;

	for (size_t i = 0; i < flags->count; i++) {
		AUTO(fields_fini) struct fields fields = { 0 };
		struct run_mount *mount;
		bool read_only = false;
		int r;

		exec->mounts = xgrow(exec->mounts, &capacity, exec->mount_count + 1, sizeof(*exec->mounts));
		mount = &exec->mounts[exec->mount_count++];
		*mount = (struct run_mount){ 0 };
		if (read_fields(&fields, compiler, flags->items[i], err) < 0)
			return error_prefix(err, "--mount=%s", flags->items[i]);
		r = make(mount, &fields, compiler, err);
		if (r == 0)
			r = read_flag(&mount->writable, fields.writable, "rw", err);
		if (r == 0)
			r = read_flag(&read_only, fields.read_only, "ro", err);
		if (r < 0)
			return error_prefix(err, "--mount=%s", flags->items[i]);
		mount->writable = mount->writable && !read_only;
	}
	return 0;
}
