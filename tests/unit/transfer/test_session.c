/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's side against children that behave and children that lie. This
 * program plays both: beside itself it puts a link "kist-transfer", which is
 * what session_pull() starts; $KIST_TEST_ROLE says how the child behaves.
 */
#include "transfer/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "oci/hasher.h"
#include "oci/media_type.h"
#include "transfer/channel.h"
#include "transfer/message.h"
#include "unit/unit.h"

#define ROLE "KIST_TEST_ROLE"
#define LAYER_BYTES "the layer"

/* ---- the documents both sides know ---- */

static char *digest_text_of(const char *text)
{
	struct digest digest;
	char out[DIGEST_TEXT_MAX];

	digest_of(&digest, DIGEST_SHA256, text, strlen(text));
	return xstrdup(digest_text(&digest, out));
}

static char *make_config(void)
{
	AUTO_FREE char *diff = digest_text_of(LAYER_BYTES);

	return xasprintf("{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}", diff);
}

static char *make_manifest(void)
{
	AUTO_FREE char *config = make_config();
	AUTO_FREE char *config_digest = digest_text_of(config);
	AUTO_FREE char *layer_digest = digest_text_of(LAYER_BYTES);

	return xasprintf("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG
			 "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER
			 "\",\"digest\":\"%s\",\"size\":%zu}]}",
			 config_digest, strlen(config), layer_digest, strlen(LAYER_BYTES));
}

/* ---- the child ---- */

static struct channel child;

static void tell(const char *line)
{
	struct error err = { 0 };

	if (channel_send(&child, line, NULL, 0, &err) < 0)
		exit(3);
}

static char *hear(void)
{
	struct error err = { 0 };
	char *line;

	if (channel_receive(&line, &child, -1, &err) != 1)
		exit(4);
	return line;
}

static void tell_document(const char *kind, const char *text, const char *digest)
{
	AUTO_FREE char *own = digest_text_of(text);
	struct message_event event = { .event = message_text("document"),
				       .kind = message_text(kind),
				       .media_type = message_text(MEDIA_OCI_MANIFEST),
				       .digest = digest ? message_text(digest) : own,
				       .text = message_text(text) };
	AUTO_FREE char *line = json_encode(&event, message_event_fields);

	tell(line);
}

static void child_layer(void)
{
	AUTO_FREE char *reply = NULL;
	int file;
	int pipe_fd;

	tell("{\"event\":\"which\"}");
	free(hear());
	tell("{\"event\":\"layer\"}");
	reply = hear();
	file = channel_take_fd(&child);
	pipe_fd = channel_take_fd(&child);
	if (file < 0 || pipe_fd < 0 || !strstr(reply, "\"unpack\":true"))
		exit(5);
	write_full(file, LAYER_BYTES, strlen(LAYER_BYTES));
	write_full(pipe_fd, LAYER_BYTES, strlen(LAYER_BYTES));
	close(file);
	close(pipe_fd);
	tell("{\"event\":\"progress\",\"status\":\"Download complete\"}");
	tell("{\"event\":\"done\"}");
}

static int child_main(const char *role)
{
	AUTO_FREE char *manifest = make_manifest();
	AUTO_FREE char *config = make_config();
	AUTO_FREE char *request = NULL;

	channel_init(&child, 3);
	request = hear();
	if (text_equal(role, "die"))
		raise(SIGKILL);
	if (text_equal(role, "leave"))
		return 7;
	if (text_equal(role, "hang"))
		free(hear());
	if (text_equal(role, "refuse"))
		tell("{\"event\":\"end\",\"errorKind\":\"not_found\",\"errorMessage\":\"manifest for x not found\"}");
	if (text_equal(role, "unknown"))
		tell("{\"event\":\"dance\"}");
	if (text_equal(role, "noise"))
		tell("this is no JSON");
	if (text_equal(role, "early layer"))
		tell("{\"event\":\"layer\"}");
	if (text_equal(role, "wrong digest"))
		tell_document("manifest", manifest,
			      "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	if (text_equal(role, "no text"))
		tell("{\"event\":\"document\",\"kind\":\"manifest\",\"digest\":"
		     "\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}");
	tell_document("manifest", manifest, NULL);
	if (text_equal(role, "other config"))
		tell_document("config", "{}", NULL);
	tell_document("config", config, NULL);
	if (text_equal(role, "far layer"))
		tell("{\"event\":\"done\",\"index\":1}");
	if (text_equal(role, "unpack"))
		tell("{\"event\":\"unpack_broke\"}");
	child_layer();
	tell("{\"event\":\"end\",\"digest\":\"sha256:x\",\"mediaType\":\"m\"}");
	free(hear());
	return 0;
}

/* ---- the engine ---- */

struct seen {
	int file;
	int unpack_out;
	int documents;
	int done;
	bool refuse_document;
	struct text statuses;
};

static int on_document(void *arg, enum session_document kind, const struct descriptor *descriptor, const char *text,
		       size_t size, struct error *err)
{
	struct seen *seen = arg;

	seen->documents |= 1 << kind;
	assert_int_equal(strlen(text), size);
	assert_true(digest_is_valid(descriptor->digest));
	return seen->refuse_document ? error_set(err, ERR_EXHAUSTED, "disk is full") : 0;
}

static int on_want(void *arg, const struct session_layer *layer, struct session_grant *out_grant, struct error *err)
{
	struct seen *seen = arg;
	int ends[2];

	assert_int_equal(layer->count, 1);
	assert_false(layer->again);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "pipe");
	seen->unpack_out = ends[0];
	*out_grant = (struct session_grant){ .ingest_fd = seen->file, .unpack_fd = ends[1] };
	return 1;
}

static int on_done(void *arg, const struct session_layer *layer, struct error *err)
{
	struct seen *seen = arg;

	(void)layer;
	(void)err;
	seen->done++;
	return 0;
}

static int on_broke(void *arg, const struct session_layer *layer, struct error *err)
{
	(void)arg;
	(void)layer;
	return error_set(err, ERR_INVALID, "tar: bad header");
}

static void on_progress(void *arg, const struct session_progress *progress)
{
	struct seen *seen = arg;

	text_addf(&seen->statuses, "%s %s;", progress->id, progress->status);
}

static int run(const char *role, struct seen *seen, int cancel_fd, struct session_pulled *out, struct error *err)
{
	const struct session_sink sink = { .arg = seen,
					   .document = on_document,
					   .want_layer = on_want,
					   .layer_done = on_done,
					   .unpack_broke = on_broke,
					   .progress = on_progress };

	seen->unpack_out = -1;
	seen->file = memfd_create("layer", MFD_CLOEXEC);
	setenv(ROLE, role, 1);
	return session_pull(out, &(struct session_pull){ .reference = "docker.io/library/x:1", .cancel_fd = cancel_fd },
			    &sink, err);
}

static void seen_fini(struct seen *seen)
{
	close(seen->file);
	if (seen->unpack_out >= 0)
		close(seen->unpack_out);
	text_fini(&seen->statuses);
}

static void test_good(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(seen_fini) struct seen seen = { 0 };
	struct session_pulled pulled = { 0 };
	AUTO_FREE char *id = digest_text_of(LAYER_BYTES);
	AUTO_FREE char *expected = NULL;
	char bytes[32] = "";

	(void)state;
	assert_no_error(run("good", &seen, -1, &pulled, &err), &err);
	assert_string_equal(pulled.digest, "sha256:x");
	assert_int_equal(seen.documents, 1 << SESSION_MANIFEST | 1 << SESSION_CONFIG);
	assert_int_equal(seen.done, 1);
	assert_int_equal(pread(seen.file, bytes, sizeof(bytes), 0), strlen(LAYER_BYTES));
	assert_int_equal(read(seen.unpack_out, bytes, sizeof(bytes)), strlen(LAYER_BYTES));
	assert_int_equal(read(seen.unpack_out, bytes, sizeof(bytes)), 0);
	expected = xasprintf("%.12s Pulling fs layer;%.12s Download complete;%.12s Extracting;%.12s Pull complete;",
			     id + 7, id + 7, id + 7, id + 7);
	assert_string_equal(seen.statuses.data, expected);
	session_pulled_fini(&pulled);
}

static void test_bad_children(void **state)
{
	static const struct {
		const char *role;
		enum error_kind kind;
		const char *message;
	} rows[] = {
		{ "die", ERR_INTERNAL, "kist-transfer was killed by signal 9" },
		{ "leave", ERR_INTERNAL, "kist-transfer exited with 7" },
		{ "refuse", ERR_NOT_FOUND, "manifest for x not found" },
		{ "unknown", ERR_INTERNAL, "unknown event \"dance\"" },
		{ "noise", ERR_INVALID, "invalid JSON" },
		{ "early layer", ERR_INTERNAL, "a layer that does not exist" },
		{ "far layer", ERR_INTERNAL, "a layer that does not exist" },
		{ "wrong digest", ERR_INTERNAL, "sent a document that is not sha256:e3b0" },
		{ "no text", ERR_INTERNAL, "sent no text for sha256:e3b0" },
		{ "other config", ERR_INTERNAL, "which nothing refers to" },
		{ "unpack", ERR_INVALID, "tar: bad header" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(seen_fini) struct seen seen = { 0 };
		struct session_pulled pulled = { 0 };

		assert_int_equal(run(rows[i].role, &seen, -1, &pulled, &err), -1);
		if (!strstr(err.message, rows[i].message) || err.kind != rows[i].kind)
			fail_msg("%s: %s", rows[i].role, err.message);
		assert_int_equal(seen.done, 0);
	}
}

static void test_sink_refuses(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(seen_fini) struct seen seen = { .refuse_document = true };
	struct session_pulled pulled = { 0 };

	(void)state;
	assert_int_equal(run("good", &seen, -1, &pulled, &err), -1);
	assert_string_equal(err.message, "disk is full");
}

static void test_cancel(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(seen_fini) struct seen seen = { 0 };
	struct session_pulled pulled = { 0 };
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	close(ends[1]);
	assert_int_equal(run("hang", &seen, ends[0], &pulled, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELED);
	close(ends[0]);
}

static char *link_path(char *own)
{
	ssize_t size = readlink("/proc/self/exe", own, PATH_MAX - 1);
	AUTO_FREE char *folder = NULL;

	if (size < 0)
		return NULL;
	own[size] = '\0';
	folder = path_parent(own);
	return path_join(folder, "kist-transfer");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad_children),
		cmocka_unit_test(test_sink_refuses),
		cmocka_unit_test(test_cancel),
	};
	char own[PATH_MAX];
	AUTO_FREE char *link = link_path(own);
	int failed;

	(void)argc;
	if (text_equal(argv[0], "kist-transfer"))
		return child_main(getenv(ROLE));
	unlink(link);
	if (symlink(own, link) < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(link);
	return failed;
}
