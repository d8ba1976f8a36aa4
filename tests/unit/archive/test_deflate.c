/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "archive/deflate.h"
#include "archive/inflate.h"
#include "base/alloc.h"
#include "base/text.h"
#include "unit/unit.h"

static int collect(void *arg, const void *data, size_t size, struct error *err)
{
	(void)err;
	text_add_bytes(arg, data, size);
	return 0;
}

static int refuse(void *arg, const void *data, size_t size, struct error *err)
{
	(void)arg;
	(void)data;
	(void)size;
	return error_set(err, ERR_EXHAUSTED, "full");
}

static struct text make_data(size_t size)
{
	struct text data = { 0 };
	uint32_t state = 7;

	while (data.size < size) {
		state = state * 1664525u + 1013904223u;
		text_addf(&data, "entry %u\n", state >> 18);
	}
	return data;
}

static struct text pack(const struct text *data, size_t piece)
{
	AUTO(error_clear) struct error err = { 0 };
	struct text out = { 0 };
	struct deflate *deflate = deflate_new(collect, &out);

	for (size_t at = 0; at < data->size; at += piece)
		assert_int_equal(deflate_write(deflate, data->data + at,
					       data->size - at < piece ? data->size - at : piece, &err),
				 0);
	assert_int_equal(deflate_finish(deflate, &err), 0);
	deflate_free(deflate);
	return out;
}

static void assert_unpacks(const struct text *packed, const struct text *expected)
{
	AUTO(error_clear) struct error err = { 0 };
	struct text out = { 0 };
	struct inflate *inflate = inflate_new(INFLATE_NO_LIMIT);

	assert_int_equal(inflate_write(inflate, packed->data, packed->size, collect, &out, &err), 0);
	assert_int_equal(inflate_finish(inflate, &err), 0);
	assert_int_equal(inflate_format(inflate), INFLATE_GZIP);
	assert_int_equal(out.size, expected->size);
	if (out.size > 0)
		assert_memory_equal(out.data, expected->data, out.size);
	inflate_free(inflate);
	text_fini(&out);
}

static void test_there_and_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 512, 512 * 1024 - 1, 512 * 1024, 3000000 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct text data = make_data(sizes[i]);
		struct text packed = pack(&data, 100000);

		assert_unpacks(&packed, &data);
		text_fini(&data);
		text_fini(&packed);
	}
}

static void test_the_same_whatever_the_pieces(void **state)
{
	static const size_t pieces[] = { 1000, 4096, 600001, 5000000 };
	struct text data = make_data(2000000);
	struct text first = pack(&data, 777);

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct text other = pack(&data, pieces[i]);

		assert_int_equal(other.size, first.size);
		assert_memory_equal(other.data, first.data, first.size);
		text_fini(&other);
	}
	text_fini(&data);
	text_fini(&first);
}

static void test_a_sink_that_fails(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct text data = make_data(1000);
	struct deflate *deflate = deflate_new(refuse, NULL);

	(void)state;
	assert_int_equal(deflate_write(deflate, data.data, data.size, &err), 0);
	assert_int_equal(deflate_finish(deflate, &err), -1);
	assert_int_equal(err.kind, ERR_EXHAUSTED);
	deflate_free(deflate);
	text_fini(&data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_the_same_whatever_the_pieces),
		cmocka_unit_test(test_a_sink_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
