/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/hosts.h"

#include <string.h>

#include "base/cleanup.h"
#include "unit/unit.h"

/* One line for each host: address/repository, then letters for what is true of it. */
static char *describe(const struct host_list *list)
{
	struct text out = { 0 };

	for (size_t i = 0; i < list->count; i++) {
		const struct host *host = &list->items[i];

		text_addf(&out, "%s%s %s %s%s%s%s%s%s%s", i ? "\n" : "", host->address, host->repository,
			  host->tags ? "t" : "", host->digests ? "d" : "", host->pushes ? "p" : "",
			  host->plain ? "P" : "", host->insecure ? "I" : "", host->whole_path ? "W" : "",
			  host->names_origin ? "N" : "");
		for (size_t j = 0; j < host->headers.count; j++)
			text_addf(&out, " {%s}", host->headers.items[j]);
	}
	return text_take(&out);
}

typedef int (*parser)(struct host_list *out_list, const struct reference *reference, const char *text,
		      struct error *err);

static int parse_toml(struct host_list *out_list, const struct reference *reference, const char *text,
		      struct error *err)
{
	return hosts_parse_toml(out_list, reference, text, strlen(text), "/nowhere", err);
}

static int parse_registries(struct host_list *out_list, const struct reference *reference, const char *text,
			    struct error *err)
{
	return hosts_parse_registries(out_list, reference, text, strlen(text), err);
}

static void check(parser parse, const char *text, const char *name, const char *want)
{
	AUTO(host_list_fini) struct host_list list = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *got = NULL;

	assert_int_equal(reference_parse(&reference, name, &err), 0);
	if (parse(&list, &reference, text, &err) < 0) {
		assert_string_equal(err.message, want);
		return;
	}
	got = describe(&list);
	assert_string_equal(got, want);
}

static void test_hosts_toml(void **state)
{
	(void)state;
	check(parse_toml, "", "busybox", "registry-1.docker.io library/busybox tdp");
	check(parse_toml,
	      "server = \"https://up.example\"\n[host.\"http://m1:5000\"]\ncapabilities = [\"pull\"]\n"
	      "[host.\"https://m2/v2/hub\"]\noverride_path = true\nskip_verify = true\ncapabilities = [\"pull\", "
	      "\"resolve\"]\n"
	      "[host.\"https://m2/v2/hub\".header]\nx-a = \"1\"\nx-b = [\"2\", \"3\"]\n",
	      "x.example/a/b", "m1:5000 a/b dPN\nm2/v2/hub a/b tdIWN {x-a: 1} {x-b: 2} {x-b: 3}\nup.example a/b tdp");
	check(parse_toml, "server = \"https://up.example/v2/\"\n[host.\"https://m/hub\"]", "x.example/a",
	      "m/hub a tdpN\nup.example/v2 a tdpW");
	check(parse_toml, "[host.\"m:1\"]\ncapabilities = [\"fly\"]", "x.example/a", "m:1: unknown capability \"fly\"");
	check(parse_toml, "[host.\"https://m\"]\nca = \"none.pem\"", "x.example/a",
	      "https://m: read /nowhere/none.pem: No such file or directory");
	check(parse_toml, "[host.\"https://m\"]\nclient = 7", "x.example/a",
	      "https://m: client: expected a path, or pairs of paths");
	check(parse_toml, "[host.\"https://m\".header]\n\"a:b\" = \"x\"", "x.example/a",
	      "https://m: header a:b: a line break or colon where none may be");
	check(parse_toml, "server = 5", "x.example/a", "server: expected a string");
	check(parse_toml, "host", "x.example/a", "line 1: expected = behind the name");
}

static const char registries[] = "unqualified-search-registries = []\n"
				 "[[registry]]\nprefix = \"a.example/team\"\nlocation = \"b.example/moved\"\n"
				 "[[registry.mirror]]\nlocation = \"m.example:5000/cache\"\ninsecure = true\n"
				 "[[registry.mirror]]\nlocation = \"n.example\"\npull-from-mirror = \"digest-only\"\n"
				 "[[registry]]\nlocation = \"a.example\"\ninsecure = true\n"
				 "[[registry]]\nprefix = \"*.blocked.example\"\nblocked = true\n"
				 "[[registry]]\nprefix = \"docker.io\"\nmirror-by-digest-only = true\n"
				 "[[registry.mirror]]\nlocation = \"hub.example\"\n";

static void test_registries(void **state)
{
	(void)state;
	check(parse_registries, registries, "a.example/team/x:1",
	      "m.example:5000 cache/x tdI\nn.example x d\nb.example moved/x tdp");
	check(parse_registries, registries, "a.example/teams/x", "a.example teams/x tdpI");
	check(parse_registries, registries, "x.blocked.example/y", "registry *.blocked.example is blocked");
	check(parse_registries, registries, "blocked.example/y", "");
	check(parse_registries, registries, "busybox",
	      "hub.example library/busybox d\nregistry-1.docker.io library/busybox tdp");
	check(parse_registries, registries, "other.example/x", "");
	check(parse_registries, "[registries.search]\nregistries = []", "x.example/y",
	      "format 1 ([registries.search] and the like) is not read: use [[registry]]");
	check(parse_registries, "[[registry]]\nlocation = \"https://x\"\nprefix = \"x.example\"", "x.example/y",
	      "location \"https://x\": a host, without http:// or https://");
	check(parse_registries,
	      "[[registry]]\nprefix = \"x.example\"\n[[registry.mirror]]\nlocation = \"m\"\npull-from-mirror = "
	      "\"never\"",
	      "x.example/y", "pull-from-mirror \"never\": all, digest-only or tag-only");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts_toml),
		cmocka_unit_test(test_registries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
