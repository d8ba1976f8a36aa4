/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "cli/members.h"
#include "cli/spec.h"

int spec_csv(struct text_list *out_fields, const char *line, struct error *err)
{
	AUTO(text_fini) struct text field = { 0 };
	const char *at = line;

	for (;;) {
		bool quoted = *at == '"';

		text_add(&field, "");
		if (quoted) {
			for (at++; *at && (*at != '"' || at[1] == '"'); at++) {
				at += *at == '"';
				text_add_char(&field, *at);
			}
			if (*at++ != '"' || (*at != ',' && *at != '\0'))
				return error_set(err, ERR_INVALID,
						 "parse error on line 1, column %zu: extraneous or missing \" in "
						 "quoted-field",
						 (size_t)(at - line));
		} else {
			for (; *at && *at != ','; at++) {
				if (*at == '"')
					return error_set(
						err, ERR_INVALID,
						"parse error on line 1, column %zu: bare \" in non-quoted-field",
						(size_t)(at - line) + 1);
				text_add_char(&field, *at);
			}
		}
		text_list_add_take(out_fields, text_take(&field));
		if (*at == '\0')
			return 0;
		at++;
	}
}

char *spec_cut(const char *field, const char **out_value)
{
	const char *equals = strchr(field, '=');

	*out_value = equals ? equals + 1 : NULL;
	return equals ? xstrndup(field, (size_t)(equals - field)) : xstrdup(field);
}

struct mount_parts {
	char *type;
	char *source;
	char *target;
	char *consistency;
	bool read_only;
	char *propagation;
	bool bind; /* some bind-* was given */
	bool non_recursive;
	bool writable; /* ReadOnlyNonRecursive */
	bool forced;   /* ReadOnlyForceRecursive */
	bool volume;
	bool no_copy;
	char *volume_subpath;
	char *driver;
	struct text_map labels;
	struct text_map driver_options;
	char *image_subpath;
	bool tmpfs;
	int64_t size;
	uint32_t mode;
};

static void mount_parts_fini(struct mount_parts *mount)
{
	free(mount->type);
	free(mount->source);
	free(mount->target);
	free(mount->consistency);
	free(mount->propagation);
	free(mount->volume_subpath);
	free(mount->driver);
	free(mount->image_subpath);
	text_map_fini(&mount->labels);
	text_map_fini(&mount->driver_options);
}

static void set_text(char **member, const char *value, bool lower)
{
	free(*member);
	*member = xstrdup(value);
	for (char *c = *member; lower && *c; c++)
		*c = (char)tolower((unsigned char)*c);
}

static int set_bool(bool *member, const char *key, const char *value, struct error *err)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (!value || text_equal(value, yes[i]) || text_equal(value, no[i])) {
			*member = !value || text_equal(value, yes[i]);
			return 0;
		}
	}
	return error_set(err, ERR_INVALID, "invalid value for %s: %s", key, value);
}

static void set_pair(struct text_map *map, const char *pair)
{
	const char *value;
	AUTO_FREE char *key = spec_cut(pair, &value);

	if (*key)
		text_map_set(map, key, text_or_empty(value));
}

static int set_recursive(struct mount_parts *mount, const char *value, struct error *err)
{
	mount->bind = !text_equal(value, "enabled") || mount->bind;
	if (text_equal(value, "disabled"))
		mount->non_recursive = true;
	else if (text_equal(value, "writable"))
		mount->writable = true;
	else if (text_equal(value, "readonly"))
		mount->forced = true;
	else if (!text_equal(value, "enabled"))
		return error_set(err, ERR_INVALID,
				 "invalid value for bind-recursive: %s (must be \"enabled\", \"disabled\", "
				 "\"writable\", or \"readonly\")",
				 value);
	return 0;
}

static void set_source(struct mount_parts *mount, const char *value)
{
	free(mount->source);
	mount->source = value[0] == '.' ? path_absolute(value) : xstrdup(value);
	if (!mount->source)
		mount->source = xstrdup(value);
}

/* Keys of the mount itself: 1 if it was one, 0 if not, -1. */
static int set_common(struct mount_parts *mount, const char *key, const char *value, struct error *err)
{
	if (text_equal(key, "readonly") || text_equal(key, "ro"))
		return set_bool(&mount->read_only, key, value, err) < 0 ? -1 : 1;
	if (!value)
		return 0;
	if (text_equal(key, "type"))
		set_text(&mount->type, value, true);
	else if (text_equal(key, "source") || text_equal(key, "src"))
		set_source(mount, value);
	else if (text_equal(key, "target") || text_equal(key, "dst") || text_equal(key, "destination"))
		set_text(&mount->target, value, false);
	else if (text_equal(key, "consistency"))
		set_text(&mount->consistency, value, true);
	else
		return 0;
	return 1;
}

static int set_bind(struct mount_parts *mount, const char *key, const char *value, struct error *err)
{
	if (text_equal(key, "bind-nonrecursive")) {
		mount->bind = true;
		return set_bool(&mount->non_recursive, key, value, err) < 0 ? -1 : 1;
	}
	if (!value)
		return 0;
	if (text_equal(key, "bind-recursive"))
		return set_recursive(mount, value, err) < 0 ? -1 : 1;
	if (!text_equal(key, "bind-propagation"))
		return 0;
	mount->bind = true;
	set_text(&mount->propagation, value, true);
	return 1;
}

static int set_volume(struct mount_parts *mount, const char *key, const char *value, struct error *err)
{
	if (text_equal(key, "volume-nocopy")) {
		mount->volume = true;
		return set_bool(&mount->no_copy, key, value, err) < 0 ? -1 : 1;
	}
	if (!value)
		return 0;
	if (text_equal(key, "volume-subpath"))
		set_text(&mount->volume_subpath, value, false);
	else if (text_equal(key, "volume-label"))
		set_pair(&mount->labels, value);
	else if (text_equal(key, "volume-driver"))
		set_text(&mount->driver, value, false);
	else if (text_equal(key, "volume-opt"))
		set_pair(&mount->driver_options, value);
	else
		return 0;
	mount->volume = true;
	return 1;
}

static int set_other(struct mount_parts *mount, const char *key, const char *value, struct error *err)
{
	if (!value)
		return 0;
	if (text_equal(key, "image-subpath")) {
		set_text(&mount->image_subpath, value, false);
		return 1;
	}
	if (text_equal(key, "tmpfs-size")) {
		if (text_parse_size(&mount->size, value) < 0)
			return error_set(err, ERR_INVALID, "invalid value for %s: %s", key, value);
	} else if (text_equal(key, "tmpfs-mode")) {
		if (text_parse_octal(&mount->mode, value, UINT32_MAX) < 0)
			return error_set(err, ERR_INVALID, "invalid value for %s: %s", key, value);
	} else {
		return 0;
	}
	mount->tmpfs = true;
	return 1;
}

static int set_field(struct mount_parts *mount, const char *field, struct error *err)
{
	const char *value;
	AUTO_FREE char *key = spec_cut(field, &value);
	int r;

	for (char *c = key; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	r = set_common(mount, key, value, err);
	if (r == 0)
		r = set_bind(mount, key, value, err);
	if (r == 0)
		r = set_volume(mount, key, value, err);
	if (r == 0)
		r = set_other(mount, key, value, err);
	if (r == 0 && !value)
		return error_set(err, ERR_INVALID, "invalid field '%s' must be a key=value pair", field);
	if (r == 0)
		return error_set(err, ERR_INVALID, "unexpected key '%s' in '%s'", key, field);
	return r < 0 ? -1 : 0;
}

static int check_recursive(const struct mount_parts *mount, struct error *err)
{
	if ((mount->writable || mount->forced) && !mount->read_only)
		return error_set(err, ERR_INVALID,
				 "option 'bind-recursive=%s' requires 'readonly' to be specified in conjunction",
				 mount->writable ? "writable" : "readonly");
	if (mount->forced && !text_equal(mount->propagation, "rprivate"))
		return error_set(err, ERR_INVALID,
				 "option 'bind-recursive=readonly' requires "
				 "'bind-propagation=rprivate' to be specified in conjunction");
	return 0;
}

static int check_mount(const struct mount_parts *mount, struct error *err)
{
	const struct {
		const char *type;
		bool given;
	} groups[] = { { "volume", mount->volume },
		       { "image", mount->image_subpath != NULL },
		       { "bind", mount->bind },
		       { "tmpfs", mount->tmpfs } };

	if (*mount->type == '\0')
		return error_set(err, ERR_INVALID, "type is required");
	if (text_empty(mount->target))
		return error_set(err, ERR_INVALID, "target is required");
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (groups[i].given && !text_equal(mount->type, groups[i].type))
			return error_set(err, ERR_INVALID, "cannot mix '%s-*' options with mount type '%s'",
					 groups[i].type, mount->type);
	return check_recursive(mount, err);
}

static void add_true(struct text *json, const char *key, bool value)
{
	if (value)
		members_bool(json, key, true);
}

static void add_given(struct text *json, const char *key, const char *value)
{
	if (!text_empty(value))
		members_text(json, key, value);
}

static void add_volume_options(struct text *json, const struct mount_parts *mount)
{
	members_key(json, "VolumeOptions");
	text_add_char(json, '{');
	add_true(json, "NoCopy", mount->no_copy);
	if (mount->labels.count)
		members_map(json, "Labels", &mount->labels);
	add_given(json, "Subpath", mount->volume_subpath);
	members_key(json, "DriverConfig");
	text_add_char(json, '{');
	add_given(json, "Name", mount->driver);
	if (mount->driver_options.count)
		members_map(json, "Options", &mount->driver_options);
	text_add(json, "}}");
}

static void add_mount(struct text *json, const struct mount_parts *mount)
{
	members_open_item(json);
	members_text(json, "Type", mount->type);
	add_given(json, "Source", mount->source);
	members_text(json, "Target", mount->target);
	add_true(json, "ReadOnly", mount->read_only);
	add_given(json, "Consistency", mount->consistency);
	if (mount->bind) {
		members_key(json, "BindOptions");
		text_add_char(json, '{');
		add_given(json, "Propagation", mount->propagation);
		add_true(json, "NonRecursive", mount->non_recursive);
		add_true(json, "ReadOnlyNonRecursive", mount->writable);
		add_true(json, "ReadOnlyForceRecursive", mount->forced);
		text_add_char(json, '}');
	}
	if (mount->volume)
		add_volume_options(json, mount);
	if (mount->image_subpath) {
		members_key(json, "ImageOptions");
		text_add_char(json, '{');
		add_given(json, "Subpath", mount->image_subpath);
		text_add_char(json, '}');
	}
	if (mount->tmpfs) {
		members_key(json, "TmpfsOptions");
		text_add_char(json, '{');
		if (mount->size)
			members_integer(json, "SizeBytes", mount->size);
		if (mount->mode)
			members_integer(json, "Mode", mount->mode);
		text_add_char(json, '}');
	}
	text_add_char(json, '}');
}

int spec_mount(struct text *mounts, const char *value, struct error *err)
{
	AUTO(mount_parts_fini) struct mount_parts mount = { .type = xstrdup("volume") };
	AUTO(text_list_fini) struct text_list fields = { 0 };

	if (spec_csv(&fields, value, err) < 0)
		return -1;
	for (size_t i = 0; i < fields.count; i++)
		if (set_field(&mount, fields.items[i], err) < 0)
			return -1;
	if (check_mount(&mount, err) < 0)
		return -1;
	add_mount(mounts, &mount);
	return 0;
}

int spec_volume(struct text_list *binds, struct text_list *volumes, const char *value, struct error *err)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };
	AUTO_FREE char *source = NULL;

	if (*value == '\0')
		return error_set(err, ERR_INVALID, "invalid empty volume spec");
	if (strlen(value) <= 2) {
		text_list_add(volumes, value);
		return 0;
	}
	text_list_split(&parts, value, ':');
	for (size_t i = 0; i < parts.count; i++)
		if (*parts.items[i] == '\0')
			return error_set(err, ERR_INVALID, "invalid spec: %s: empty section between colons", value);
	if (parts.count > 3)
		return error_set(err, ERR_INVALID, "invalid spec: %s: too many colons", value);
	if (parts.count == 1) {
		text_list_add(volumes, value);
		return 0;
	}
	source = parts.items[0][0] == '.' ? path_absolute(parts.items[0]) : xstrdup(parts.items[0]);
	text_list_addf(binds, "%s%s", source ? source : parts.items[0], value + strlen(parts.items[0]));
	return 0;
}
