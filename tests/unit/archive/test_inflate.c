/* SPDX-License-Identifier: Apache-2.0 */
#include <isa-l/igzip_lib.h>
#include <string.h>
#include <zstd.h>

#include "archive/inflate.h"
#include "base/alloc.h"
#include "base/text.h"
#include "unit/unit.h"

/* Not compressible to nothing, so that windows fill at odd places. */
static struct text make_data(size_t size)
{
	struct text data = { 0 };
	uint32_t state = 42;

	while (data.size < size) {
		state = state * 1664525u + 1013904223u;
		text_addf(&data, "line %u of the layer\n", state >> 20);
	}
	return data;
}

static void add_gzip_member(struct text *out, const void *data, size_t size)
{
	struct isal_zstream stream;
	size_t room = size + 4096;
	uint8_t *packed = xmalloc(room);

	isal_deflate_init(&stream);
	stream.gzip_flag = IGZIP_GZIP;
	stream.end_of_stream = 1;
	stream.next_in = (uint8_t *)data;
	stream.avail_in = (uint32_t)size;
	stream.next_out = packed;
	stream.avail_out = (uint32_t)room;
	assert_int_equal(isal_deflate(&stream), COMP_OK);
	text_add_bytes(out, packed, room - stream.avail_out);
	free(packed);
}

static void add_zstd_frame(struct text *out, const void *data, size_t size)
{
	size_t room = ZSTD_compressBound(size);
	char *packed = xmalloc(room);

	text_add_bytes(out, packed, ZSTD_compress(packed, room, data, size, 3));
	free(packed);
}

static int collect(void *arg, const void *data, size_t size, struct error *err)
{
	(void)err;
	text_add_bytes(arg, data, size);
	return 0;
}

/* Feeds `packed` in pieces of `step` bytes. */
static int run(struct text *out, const struct text *packed, size_t step, uint64_t limit, struct error *err)
{
	AUTO(inflate_freep) struct inflate *inflate = inflate_new(limit);

	for (size_t at = 0; at < packed->size; at += step) {
		size_t size = packed->size - at < step ? packed->size - at : step;

		if (inflate_write(inflate, packed->data + at, size, collect, out, err) < 0)
			return -1;
	}
	if (inflate_finish(inflate, err) < 0)
		return -1;
	assert_int_equal(inflate_total(inflate), out->size);
	return 0;
}

static void check_round_trip(const struct text *packed, const struct text *expected)
{
	static const size_t steps[] = { 1, 2, 3, 7, 13, 100, 4096, 1 << 20 };

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		AUTO(error_clear) struct error err = { 0 };
		struct text out = { 0 };

		assert_no_error(run(&out, packed, steps[i], INFLATE_NO_LIMIT, &err), &err);
		assert_int_equal(out.size, expected->size);
		if (out.size > 0)
			assert_memory_equal(out.data, expected->data, out.size);
		text_fini(&out);
	}
}

static void gzip_one_member(void **state)
{
	struct text data = make_data(300000);
	struct text packed = { 0 };

	(void)state;
	add_gzip_member(&packed, data.data, data.size);
	check_round_trip(&packed, &data);
	text_fini(&packed);
	text_fini(&data);
}

/* pigz -i, eStargz: many members, some tiny, some empty, and zeros at the end. */
static void gzip_many_members(void **state)
{
	struct text data = make_data(50000);
	struct text packed = { 0 };
	size_t at = 0;

	(void)state;
	add_gzip_member(&packed, data.data, 0);
	for (size_t size = 1; at < data.size; size = size * 3 + 1) {
		size_t part = size < data.size - at ? size : data.size - at;

		add_gzip_member(&packed, data.data + at, part);
		at += part;
	}
	check_round_trip(&packed, &data);
	text_add_bytes(&packed, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 17);
	check_round_trip(&packed, &data);
	text_fini(&packed);
	text_fini(&data);
}

static void zstd_frames_and_skippable(void **state)
{
	struct text data = make_data(200000);
	struct text packed = { 0 };

	(void)state;
	add_zstd_frame(&packed, data.data, 1000);
	text_add_bytes(&packed, "\x50\x2a\x4d\x18\x03\0\0\0abc", 11);
	add_zstd_frame(&packed, data.data + 1000, data.size - 1000);
	check_round_trip(&packed, &data);
	text_fini(&packed);
	text_fini(&data);
}

static void plain_and_empty(void **state)
{
	struct text data = make_data(1000);
	struct text nothing = { 0 };

	(void)state;
	check_round_trip(&data, &data);
	check_round_trip(&nothing, &nothing);
	text_fini(&data);
}

static void expect_failure(const struct text *packed, size_t step, uint64_t limit, enum error_kind kind,
			   const char *words)
{
	AUTO(error_clear) struct error err = { 0 };
	struct text out = { 0 };

	assert_int_equal(run(&out, packed, step, limit, &err), -1);
	assert_int_equal(err.kind, kind);
	assert_non_null(strstr(err.message, words));
	text_fini(&out);
}

static void cut_streams_are_told(void **state)
{
	struct text data = make_data(20000);
	struct text packed = { 0 };
	size_t whole;

	(void)state;
	add_gzip_member(&packed, data.data, data.size);
	whole = packed.size;
	for (size_t cut = 1; cut < 30; cut++) {
		packed.size = whole - cut;
		expect_failure(&packed, 4096, INFLATE_NO_LIMIT, ERR_INVALID, "cut short");
	}
	packed.size = 3;
	expect_failure(&packed, 1, INFLATE_NO_LIMIT, ERR_INVALID, "cut short");
	packed.size = 9;
	expect_failure(&packed, 1, INFLATE_NO_LIMIT, ERR_INVALID, "cut short");
	text_reset(&packed);
	add_zstd_frame(&packed, data.data, data.size);
	packed.size -= 2;
	expect_failure(&packed, 4096, INFLATE_NO_LIMIT, ERR_INVALID, "zstd: cut short");
	text_fini(&packed);
	text_fini(&data);
}

static void damage_is_told(void **state)
{
	struct text data = make_data(20000);
	struct text packed = { 0 };

	(void)state;
	add_gzip_member(&packed, data.data, data.size);
	packed.data[packed.size - 6] ^= 1;
	expect_failure(&packed, 100, INFLATE_NO_LIMIT, ERR_INVALID, "checksum mismatch");
	packed.data[packed.size - 6] ^= 1;
	text_add_bytes(&packed, "\0garbage", 8);
	expect_failure(&packed, 100, INFLATE_NO_LIMIT, ERR_INVALID, "behind the end");
	text_reset(&packed);
	text_add(&packed, "BZh91AY&SY and so on");
	expect_failure(&packed, 100, INFLATE_NO_LIMIT, ERR_UNSUPPORTED, "bzip2");
	text_fini(&packed);
	text_fini(&data);
}

/* 1 GiB of zeros in 1 MiB: stopped at the limit, not at the end. */
static void bomb_is_refused(void **state)
{
	char *zeros = xcalloc(1, 1 << 20);
	struct text packed = { 0 };

	(void)state;
	for (int i = 0; i < 64; i++)
		add_gzip_member(&packed, zeros, 1 << 20);
	expect_failure(&packed, 4096, 10 << 20, ERR_EXHAUSTED, "limit of 10485760 bytes");
	text_reset(&packed);
	for (int i = 0; i < 64; i++)
		add_zstd_frame(&packed, zeros, 1 << 20);
	expect_failure(&packed, 4096, 10 << 20, ERR_EXHAUSTED, "limit of 10485760 bytes");
	free(zeros);
	text_fini(&packed);
}

static void exactly_the_limit_passes(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct text data = make_data(100000);
	struct text packed = { 0 };
	struct text out = { 0 };

	(void)state;
	add_gzip_member(&packed, data.data, data.size);
	assert_no_error(run(&out, &packed, 4096, data.size, &err), &err);
	text_fini(&out);
	expect_failure(&packed, 4096, data.size - 1, ERR_EXHAUSTED, "limit");
	text_fini(&packed);
	text_fini(&data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gzip_one_member),	     cmocka_unit_test(gzip_many_members),
		cmocka_unit_test(zstd_frames_and_skippable), cmocka_unit_test(plain_and_empty),
		cmocka_unit_test(cut_streams_are_told),	     cmocka_unit_test(damage_is_told),
		cmocka_unit_test(bomb_is_refused),	     cmocka_unit_test(exactly_the_limit_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
