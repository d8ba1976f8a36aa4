/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packages that package managers say are in the result, as an SPDX 2.3
 * document: dpkg's and apk's own lists, read from the layers, the highest that
 * has the file. Nothing of the image is run.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/quote.h"
#include "base/random.h"
#include "builder/attestation.h"
#include "builder/build_private.h"
#include "sys/in_root.h"

#define LIST_MAX (64 * 1024 * 1024)
#define PACKAGES_MAX 50000

struct scan {
	struct build *build;
	struct layer_stack stack;
	char *distribution; /* ID of os-release */
	char *version;	    /* VERSION_ID */
	struct text packages;
	struct text relations;
	size_t count;
};

static void scan_fini(struct scan *scan)
{
	layer_stack_fini(&scan->stack);
	free(scan->distribution);
	free(scan->version);
	text_fini(&scan->packages);
	text_fini(&scan->relations);
}

/* ---- files ---- */

/* 1 with its text (yours); 0: there is none, or a higher layer took it away. */
static int read_file(char **out_text, const struct scan *scan, const char *path, struct error *err)
{
	for (size_t i = 0; i < scan->stack.count; i++) {
		AUTO_CLOSE int layer_fd = layer_open(scan->build->store, &scan->stack.items[i], err);
		AUTO_CLOSE int fd = -1;
		size_t size;
		int r;

		if (layer_fd < 0)
			return -1;
		fd = open_in_root(layer_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW, 0);
		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return 0;
		r = fd_read_all(out_text, &size, fd, LIST_MAX);
		return r < 0 ? error_set_errno(err, ERR_INVALID, r, "sbom: read /%s of the image", path) : 1;
	}
	return 0;
}

/* KEY=value or KEY="value" of os-release; yours, or NULL. */
static char *release_value(const struct text_list *lines, const char *key)
{
	for (size_t i = 0; i < lines->count; i++) {
		const char *value = text_after(lines->items[i], key);
		size_t size = value ? strlen(value) : 0;

		if (!value)
			continue;
		if (size >= 2 && (*value == '"' || *value == '\'') && value[size - 1] == *value)
			return xstrndup(value + 1, size - 2);
		return xstrdup(value);
	}
	return NULL;
}

static int read_release(struct scan *scan, struct error *err)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *text = NULL;
	int r = read_file(&text, scan, "usr/lib/os-release", err);

	if (r == 0)
		r = read_file(&text, scan, "etc/os-release", err);
	if (r <= 0)
		return r;
	text_list_split(&lines, text, '\n');
	scan->distribution = release_value(&lines, "ID=");
	scan->version = release_value(&lines, "VERSION_ID=");
	return 0;
}

/* ---- packages ---- */

static void add_pair(struct text *json, const char *key, const char *value, bool first)
{
	text_addf(json, "%s\"%s\":", first ? "" : ",", key);
	quote_json(json, value, strlen(value));
}

static void add_package(struct scan *scan, const char *kind, const char *name, const char *version,
			const char *architecture)
{
	AUTO_FREE char *id = xasprintf("SPDXRef-Package-%s-%zu", kind, scan->count);
	const char *distribution = text_empty(scan->distribution) ? "linux" : scan->distribution;
	AUTO(text_fini) struct text purl = { 0 };
	struct text *json = &scan->packages;

	text_addf(&purl, "pkg:%s/%s/", kind, distribution);
	text_add_escaped(&purl, name, false);
	text_add_char(&purl, '@');
	text_add_escaped(&purl, version, false);
	text_addf(&purl, "?arch=%s", architecture);
	if (scan->version)
		text_addf(&purl, "&distro=%s-%s", distribution, scan->version);
	text_add(json, scan->count ? ",{" : "{");
	add_pair(json, "name", name, true);
	add_pair(json, "SPDXID", id, false);
	add_pair(json, "versionInfo", version, false);
	text_add(json, ",\"downloadLocation\":\"NOASSERTION\",\"filesAnalyzed\":false,"
		       "\"licenseConcluded\":\"NOASSERTION\",\"licenseDeclared\":\"NOASSERTION\","
		       "\"copyrightText\":\"NOASSERTION\",\"externalRefs\":[{"
		       "\"referenceCategory\":\"PACKAGE-MANAGER\",\"referenceType\":\"purl\"");
	add_pair(json, "referenceLocator", purl.data, false);
	text_add(json, "}]}");
	text_add(&scan->relations, ",{\"spdxElementId\":\"SPDXRef-DOCUMENT\",\"relationshipType\":\"DESCRIBES\"");
	add_pair(&scan->relations, "relatedSpdxElement", id, false);
	text_add_char(&scan->relations, '}');
	scan->count++;
}

/* A list of paragraphs, each with lines that begin with one of these. */
struct format {
	const char *kind; /* of a package-url */
	const char *path;
	const char *name;
	const char *version;
	const char *architecture;
	const char *status; /* NULL: all that is listed is installed */
	const char *installed;
};

static const struct format formats[] = {
	{ "deb", "var/lib/dpkg/status",
	  "Package: ", "Version: ", "Architecture: ", "Status: ", "install ok installed" },
	{ "apk", "lib/apk/db/installed", "P:", "V:", "A:", NULL, NULL },
	{ "apk", "usr/lib/apk/db/installed", "P:", "V:", "A:", NULL, NULL },
};

struct paragraph {
	const char *name;
	const char *version;
	const char *architecture;
	bool is_installed;
};

static void end_paragraph(struct scan *scan, const struct format *format, struct paragraph *paragraph)
{
	if (paragraph->name && paragraph->version && (paragraph->is_installed || !format->status) &&
	    scan->count < PACKAGES_MAX)
		add_package(scan, format->kind, paragraph->name, paragraph->version,
			    text_empty(paragraph->architecture) ? "all" : paragraph->architecture);
	*paragraph = (struct paragraph){ 0 };
}

static void read_line(struct paragraph *paragraph, const struct format *format, const char *line)
{
	const char *status = format->status ? text_after(line, format->status) : NULL;

	if (text_after(line, format->name))
		paragraph->name = text_after(line, format->name);
	else if (text_after(line, format->version))
		paragraph->version = text_after(line, format->version);
	else if (text_after(line, format->architecture))
		paragraph->architecture = text_after(line, format->architecture);
	else if (status)
		paragraph->is_installed = text_equal(status, format->installed);
}

static int read_list(struct scan *scan, const struct format *format, struct error *err)
{
	struct paragraph paragraph = { 0 };
	AUTO_FREE char *text = NULL;
	char *rest;
	int r = read_file(&text, scan, format->path, err);

	if (r <= 0)
		return r;
	for (rest = text; rest;) {
		char *line = rest;
		char *end = strchr(rest, '\n');

		rest = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
		if (*line)
			read_line(&paragraph, format, line);
		else
			end_paragraph(scan, format, &paragraph);
	}
	end_paragraph(scan, format, &paragraph);
	return 0;
}

/* ---- the document ---- */

static char *make_document(const struct scan *scan)
{
	struct text json = { 0 };
	char time[CLOCK_TEXT_MAX];
	char hex[33];

	random_hex(hex, 16);
	clock_format(time, build_clamp_ns(scan->build, clock_wall_ns()));
	text_add(&json, "{\"spdxVersion\":\"SPDX-2.3\",\"dataLicense\":\"CC0-1.0\",\"SPDXID\":\"SPDXRef-DOCUMENT\","
			"\"name\":\"sbom\"");
	text_addf(&json, ",\"documentNamespace\":\"urn:uuid:%.8s-%.4s-4%.3s-8%.3s-%.12s\"", hex, hex + 8, hex + 13,
		  hex + 17, hex + 20);
	text_addf(&json, ",\"creationInfo\":{\"created\":\"%.19sZ\",\"creators\":[\"Tool: kist-" KIST_VERSION "\"]}",
		  time);
	text_addf(&json, ",\"packages\":[%s]", text_or_empty(scan->packages.data));
	text_addf(&json, ",\"relationships\":[%s]}", scan->relations.size ? scan->relations.data + 1 : "");
	return text_take(&json);
}

int sbom_make(char **out_text, struct build *build, struct error *err)
{
	AUTO(scan_fini) struct scan scan = { .build = build };
	const struct digest *chain_id = &build->target->rootfs->result.chain_id;

	if (digest_is_set(chain_id) && layer_stack_load(&scan.stack, build->store, chain_id, err) < 0)
		return -1;
	if (read_release(&scan, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
		if (read_list(&scan, &formats[i], err) < 0)
			return -1;
	*out_text = make_document(&scan);
	return 0;
}
