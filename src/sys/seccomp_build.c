/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the profile is written out as one unambiguous string of bytes
 * (every text with its length). Its hash names a cache file, which holds those
 * bytes and the finished program; it counts only if the bytes are equal, so two
 * profiles can share a hash without harm. Otherwise libseccomp compiles, and a
 * short prologue of ours is put in front: a system call above the highest one
 * that the profile knows did not exist when it was written, and answers ENOSYS.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "sys/seccomp.h"

#define CACHE_MAGIC UINT64_C(0x31706d6363657373)
#define CACHE_LIMIT (4 << 20)
#define PROGRAM_MAX 65535
#define X32_BIT 0x40000000U
#define ERRNO_MAX 4095

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

struct word {
	const char *name;
	uint32_t value;
};

static const struct word action_words[] = {
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
	{ "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
	{ NULL, 0 },
};

static const struct word operator_words[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
	{ NULL, 0 },
};

static const struct word flag_words[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
	{ NULL, 0 },
};

/* SCMP_ARCH_ values are the kernel's AUDIT_ARCH_, but for x32, which shares x86_64's. */
static const struct word architecture_words[] = {
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86 },
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X32 },
	{ "SCMP_ARCH_ARM", SCMP_ARCH_ARM },
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64 },
	{ "SCMP_ARCH_MIPS", SCMP_ARCH_MIPS },
	{ "SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64 },
	{ "SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32 },
	{ "SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL },
	{ "SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64 },
	{ "SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32 },
	{ "SCMP_ARCH_PPC", SCMP_ARCH_PPC },
	{ "SCMP_ARCH_PPC64", SCMP_ARCH_PPC64 },
	{ "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE },
	{ "SCMP_ARCH_S390", SCMP_ARCH_S390 },
	{ "SCMP_ARCH_S390X", SCMP_ARCH_S390X },
	{ "SCMP_ARCH_PARISC", SCMP_ARCH_PARISC },
	{ "SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64 },
	{ "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64 },
	{ NULL, 0 },
};

/* What the spec names and this libseccomp cannot do: skipped, as its system calls cannot occur here. */
static const char *const foreign_architectures[] = { "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH",
						     "SCMP_ARCH_SHEB" };

static const struct word *find_word(const struct word *words, const char *name)
{
	for (; words->name; words++)
		if (text_equal(words->name, name))
			return words;
	return NULL;
}

/* ---- the profile as bytes ---- */

static void put_u64(struct text *bytes, uint64_t value)
{
	text_add_bytes(bytes, &value, sizeof(value));
}

static void put_text(struct text *bytes, const char *text)
{
	put_u64(bytes, text ? strlen(text) : UINT64_MAX);
	text_add_bytes(bytes, text_or_empty(text), strlen(text_or_empty(text)));
}

static void put_texts(struct text *bytes, char *const *items, size_t count)
{
	put_u64(bytes, count);
	for (size_t i = 0; i < count; i++)
		put_text(bytes, items[i]);
}

static void put_optional(struct text *bytes, struct optional_u64 value)
{
	put_u64(bytes, value.set);
	put_u64(bytes, value.value);
}

static void put_rule(struct text *bytes, const struct seccomp_rule *rule)
{
	put_texts(bytes, rule->names, rule->name_count);
	put_text(bytes, rule->action);
	put_optional(bytes, rule->errno_ret);
	put_u64(bytes, rule->arg_count);
	for (size_t i = 0; i < rule->arg_count; i++) {
		put_u64(bytes, rule->args[i].index);
		put_u64(bytes, rule->args[i].value);
		put_u64(bytes, rule->args[i].value_two);
		put_text(bytes, rule->args[i].op);
	}
}

/* Everything that decides about the program, this code's and libseccomp's versions included. */
static void canonical_bytes(struct text *bytes, const struct seccomp_profile *profile)
{
	const struct scmp_version *version = seccomp_version();

	put_text(bytes, KIST_VERSION);
	put_u64(bytes, (uint64_t)version->major << 32 | version->minor << 16 | version->micro);
	put_u64(bytes, seccomp_arch_native());
	put_text(bytes, profile->default_action);
	put_optional(bytes, profile->default_errno_ret);
	put_texts(bytes, profile->architectures, profile->architecture_count);
	put_u64(bytes, profile->flags != NULL);
	put_texts(bytes, profile->flags, profile->flag_count);
	put_u64(bytes, profile->rule_count);
	for (size_t i = 0; i < profile->rule_count; i++)
		put_rule(bytes, &profile->rules[i]);
}

/* FNV-1a: only a name, nothing relies on it. */
static uint64_t hash_bytes(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* ---- cache ---- */

struct cache_header {
	uint64_t magic;
	uint64_t profile_size;
	uint64_t program_count;
	uint64_t program_hash; /* a file that a power cut left half written does not count */
	uint64_t flags;
	uint64_t notify;
};

static char *cache_name(const struct text *profile)
{
	return xasprintf("%016llx.seccomp", (unsigned long long)hash_bytes(profile->data, profile->size));
}

static bool cache_matches(const struct cache_header *header, size_t size, const struct text *profile)
{
	const char *bytes = (const char *)(header + 1);
	size_t program_size;

	if (size < sizeof(*header) || header->magic != CACHE_MAGIC || header->profile_size != profile->size ||
	    header->program_count == 0 || header->program_count > PROGRAM_MAX)
		return false;
	program_size = header->program_count * sizeof(struct sock_filter);
	return size == sizeof(*header) + profile->size + program_size &&
	       memcmp(bytes, profile->data, profile->size) == 0 &&
	       hash_bytes(bytes + profile->size, program_size) == header->program_hash;
}

/* The cache folder, if it is nobody else's to write into: a filter planted there would be loaded. */
static int cache_open(const char *cache_dir)
{
	AUTO_CLOSE int fd = open(cache_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return -1;
	return take_fd(&fd);
}

static bool cache_load(struct seccomp_filter *out_filter, const struct text *profile, const char *cache_dir)
{
	AUTO_CLOSE int dir_fd = cache_open(cache_dir);
	AUTO_FREE char *name = cache_name(profile);
	AUTO_FREE char *data = NULL;
	struct cache_header header;
	size_t size;

	if (dir_fd < 0 || file_read(&data, &size, dir_fd, name, CACHE_LIMIT) < 0 || size < sizeof(header))
		return false;
	memcpy(&header, data, sizeof(header));
	if (!cache_matches((const struct cache_header *)(const void *)data, size, profile))
		return false;
	out_filter->count = header.program_count;
	out_filter->program = xmemdup(data + sizeof(header) + header.profile_size,
				      header.program_count * sizeof(struct sock_filter));
	out_filter->flags = (unsigned)header.flags;
	out_filter->notify = header.notify != 0;
	return true;
}

/* A cache that cannot be written costs time, nothing else. */
static void cache_store(const struct seccomp_filter *filter, const struct text *profile, const char *cache_dir)
{
	size_t program_size = filter->count * sizeof(struct sock_filter);
	AUTO_FREE char *name = cache_name(profile);
	AUTO(text_fini) struct text file = { 0 };
	AUTO_CLOSE int dir_fd = mkdir_all(AT_FDCWD, cache_dir, 0700) < 0 ? -1 : cache_open(cache_dir);
	struct cache_header header = {
		.magic = CACHE_MAGIC,
		.profile_size = profile->size,
		.program_count = filter->count,
		.program_hash = hash_bytes(filter->program, program_size),
		.flags = filter->flags,
		.notify = filter->notify,
	};

	if (dir_fd < 0)
		return;
	text_add_bytes(&file, &header, sizeof(header));
	text_add_bytes(&file, profile->data, profile->size);
	text_add_bytes(&file, filter->program, program_size);
	file_publish(dir_fd, name, file.data, file.size, 0600);
}

/* ---- compile ---- */

struct compiler {
	scmp_filter_ctx context;
	const struct seccomp_profile *profile;
	uint32_t default_action;
	bool notify;
	const struct word *architectures[24];
	size_t architecture_count;
	int highest[24]; /* highest system call the profile names, per architecture */
};

static void compiler_fini(struct compiler *compiler)
{
	if (compiler->context)
		seccomp_release(compiler->context);
}

static int parse_action(uint32_t *out_action, const char *name, struct optional_u64 errno_ret, struct error *err)
{
	const struct word *word = find_word(action_words, text_or_empty(name));
	bool takes_number;

	if (!word)
		return error_set(err, ERR_INVALID, "seccomp: unknown action \"%s\"", text_or_empty(name));
	takes_number = text_equal(name, "SCMP_ACT_ERRNO") || text_equal(name, "SCMP_ACT_TRACE");
	if (errno_ret.set && !takes_number)
		return error_set(err, ERR_INVALID, "seccomp: errnoRet does not go with action %s", name);
	if (errno_ret.set && errno_ret.value > ERRNO_MAX)
		return error_set(err, ERR_INVALID, "seccomp: errnoRet %llu is out of range",
				 (unsigned long long)errno_ret.value);
	*out_action = word->value;
	if (takes_number)
		*out_action |= (uint32_t)optional_u64_or(errno_ret, EPERM);
	return 0;
}

static bool is_foreign(const char *name)
{
	for (size_t i = 0; i < sizeof(foreign_architectures) / sizeof(foreign_architectures[0]); i++)
		if (text_equal(foreign_architectures[i], name))
			return true;
	return false;
}

static int add_architectures(struct compiler *compiler, struct error *err)
{
	const struct seccomp_profile *profile = compiler->profile;
	bool native = profile->architecture_count == 0;

	for (size_t i = 0; i < profile->architecture_count; i++) {
		const struct word *word = find_word(architecture_words, profile->architectures[i]);
		int failed;

		if (!word && is_foreign(profile->architectures[i]))
			continue;
		if (!word)
			return error_set(err, ERR_INVALID, "seccomp: unknown architecture \"%s\"",
					 profile->architectures[i]);
		failed = seccomp_arch_add(compiler->context, word->value);
		if (failed < 0 && failed != -EEXIST)
			return error_set_errno(err, ERR_INVALID, failed, "seccomp: architecture %s", word->name);
		native |= word->value == seccomp_arch_native();
		if (compiler->architecture_count < sizeof(compiler->highest) / sizeof(compiler->highest[0]))
			compiler->architectures[compiler->architecture_count++] = word;
	}
	if (!native)
		seccomp_arch_remove(compiler->context, SCMP_ARCH_NATIVE);
	if (profile->architecture_count == 0)
		for (const struct word *word = architecture_words; word->name; word++)
			if (word->value == seccomp_arch_native())
				compiler->architectures[compiler->architecture_count++] = word;
	return 0;
}

static int parse_args(struct scmp_arg_cmp *out_args, bool *out_repeats, const struct seccomp_rule *rule,
		      struct error *err)
{
	unsigned seen = 0;

	*out_repeats = false;
	if (rule->arg_count > 6)
		return error_set(err, ERR_INVALID, "seccomp: a rule with %zu arguments", rule->arg_count);
	for (size_t i = 0; i < rule->arg_count; i++) {
		const struct seccomp_arg *arg = &rule->args[i];
		const struct word *word = find_word(operator_words, text_or_empty(arg->op));

		if (!word)
			return error_set(err, ERR_INVALID, "seccomp: unknown operator \"%s\"", text_or_empty(arg->op));
		if (arg->index > 5)
			return error_set(err, ERR_INVALID, "seccomp: argument index %u is above 5", arg->index);
		*out_repeats |= seen >> arg->index & 1;
		seen |= 1U << arg->index;
		out_args[i] = (struct scmp_arg_cmp){ arg->index, (enum scmp_compare)word->value, arg->value,
						     arg->value_two };
	}
	return 0;
}

static void note_highest(struct compiler *compiler, const char *name)
{
	for (size_t i = 0; i < compiler->architecture_count; i++) {
		int number = seccomp_syscall_resolve_name_arch(compiler->architectures[i]->value, name);

		if (number > compiler->highest[i])
			compiler->highest[i] = number;
	}
}

static int add_call(struct compiler *compiler, uint32_t action, int number, const struct scmp_arg_cmp *args,
		    size_t arg_count, bool separate)
{
	if (!separate)
		return seccomp_rule_add_array(compiler->context, action, number, (unsigned)arg_count, args);
	/* Two conditions on one argument cannot be one libseccomp rule; runc makes them alternatives. */
	for (size_t i = 0; i < arg_count; i++) {
		int failed = seccomp_rule_add_array(compiler->context, action, number, 1, &args[i]);

		if (failed < 0)
			return failed;
	}
	return 0;
}

static int add_rule(struct compiler *compiler, const struct seccomp_rule *rule, struct error *err)
{
	struct scmp_arg_cmp args[6];
	uint32_t action;
	bool separate;

	if (parse_action(&action, rule->action, rule->errno_ret, err) < 0 || parse_args(args, &separate, rule, err) < 0)
		return -1;
	compiler->notify |= action == SCMP_ACT_NOTIFY;
	for (size_t i = 0; i < rule->name_count; i++) {
		int number = seccomp_syscall_resolve_name(rule->names[i]);
		int failed;

		note_highest(compiler, rule->names[i]);
		if (action == SCMP_ACT_NOTIFY && text_equal(rule->names[i], "write"))
			return error_set(err, ERR_INVALID,
					 "seccomp: SCMP_ACT_NOTIFY cannot be used for the write syscall");
		if (number == __NR_SCMP_ERROR || action == compiler->default_action)
			continue;
		failed = add_call(compiler, action, number, args, rule->arg_count, separate);
		if (failed < 0 && failed != -EDOM)
			return error_set_errno(err, ERR_INVALID, failed, "seccomp: rule for %s", rule->names[i]);
	}
	return 0;
}

static int export_program(const struct compiler *compiler, struct seccomp_filter *filter, struct error *err)
{
	AUTO_CLOSE int fd = memfd_create("seccomp", MFD_CLOEXEC);
	AUTO_FREE char *data = NULL;
	size_t size;
	int failed;

	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "seccomp: memfd");
	failed = seccomp_export_bpf(compiler->context, fd);
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "seccomp: compile the profile");
	if (lseek(fd, 0, SEEK_SET) < 0 || (failed = fd_read_all(&data, &size, fd, CACHE_LIMIT)) < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "seccomp: read the program");
	filter->count = size / sizeof(struct sock_filter);
	filter->program = (struct sock_filter *)(void *)take_ptr(data);
	return 0;
}

/* ---- ENOSYS for what is newer than the profile ---- */

struct prologue {
	struct sock_filter code[256];
	size_t count;
};

static void add(struct prologue *prologue, uint16_t code, uint32_t k, uint8_t jump_true, uint8_t jump_false)
{
	prologue->code[prologue->count++] = (struct sock_filter){ code, jump_true, jump_false, k };
}

static int find_highest(const struct compiler *compiler, uint32_t architecture)
{
	for (size_t i = 0; i < compiler->architecture_count; i++)
		if (compiler->architectures[i]->value == architecture)
			return compiler->highest[i];
	return 0;
}

/* arch? -> number -> above the highest known: ENOSYS. x32 calls come with x86_64's architecture and a high bit. */
static void add_architecture(struct prologue *prologue, const struct compiler *compiler, uint32_t architecture,
			     int highest)
{
	int x32 = architecture == SCMP_ARCH_X86_64 ? find_highest(compiler, SCMP_ARCH_X32) : 0;
	bool split = architecture == SCMP_ARCH_X86_64;
	uint8_t skip = split ? (x32 ? 5 : 4) : 3;

	add(prologue, BPF_JMP | BPF_JEQ | BPF_K, architecture, 0, skip);
	add(prologue, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
	if (split && !x32) {
		add(prologue, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 2, 0);
	} else if (split) {
		add(prologue, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
		add(prologue, BPF_JMP | BPF_JGT | BPF_K, (uint32_t)x32 | X32_BIT, 1, 2);
	}
	add(prologue, BPF_JMP | BPF_JGT | BPF_K, (uint32_t)highest, 0, 1);
	add(prologue, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
	/* The architecture is gone from the accumulator only if it was ours: what follows loads it afresh. */
}

static bool wants_enosys(const struct compiler *compiler)
{
	uint32_t action = compiler->default_action & 0xffff0000U;

	if (compiler->default_action == SCMP_ACT_ERRNO(ENOSYS))
		return false;
	return action != SCMP_ACT_ALLOW && action != SCMP_ACT_LOG && action != SCMP_ACT_TRACE(0);
}

static void add_prologue(const struct compiler *compiler, struct seccomp_filter *filter)
{
	struct prologue prologue = { .count = 0 };
	struct sock_filter *whole;

	for (size_t i = 0; i < compiler->architecture_count; i++) {
		uint32_t architecture = compiler->architectures[i]->value;

		if (architecture == SCMP_ARCH_X32 || compiler->highest[i] <= 0 || prologue.count > 200)
			continue;
		add(&prologue, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
		add_architecture(&prologue, compiler, architecture, compiler->highest[i]);
	}
	whole = xcalloc(prologue.count + filter->count, sizeof(*whole));
	memcpy(whole, prologue.code, prologue.count * sizeof(*whole));
	memcpy(whole + prologue.count, filter->program, filter->count * sizeof(*whole));
	free(filter->program);
	filter->program = whole;
	filter->count += prologue.count;
}

/* ---- the whole ---- */

static int parse_flags(const struct seccomp_profile *profile, struct seccomp_filter *filter, struct error *err)
{
	for (size_t i = 0; i < profile->flag_count; i++) {
		const struct word *word = find_word(flag_words, profile->flags[i]);

		if (!word)
			return error_set(err, ERR_INVALID, "seccomp: unknown flag \"%s\"", profile->flags[i]);
		filter->flags |= word->value;
	}
	/* runc's default: the mitigation costs much and helps little here. */
	if (!profile->flags)
		filter->flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	/* Whoever loads it is the only thread: nobody is left to be synchronized with. */
	filter->flags &= ~(unsigned)SECCOMP_FILTER_FLAG_TSYNC;
	if (filter->notify)
		filter->flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
	else
		filter->flags &= ~(unsigned)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	return 0;
}

static int compile(struct seccomp_filter *filter, const struct seccomp_profile *profile, struct error *err)
{
	AUTO(compiler_fini) struct compiler compiler = { .profile = profile };

	if (parse_action(&compiler.default_action, profile->default_action, profile->default_errno_ret, err) < 0)
		return -1;
	if (compiler.default_action == SCMP_ACT_NOTIFY)
		return error_set(err, ERR_INVALID, "seccomp: SCMP_ACT_NOTIFY cannot be the default action");
	compiler.context = seccomp_init(compiler.default_action);
	if (!compiler.context)
		return error_set(err, ERR_UNSUPPORTED, "seccomp: libseccomp refuses default action %s",
				 profile->default_action);
	seccomp_attr_set(compiler.context, SCMP_FLTATR_CTL_NNP, 0);
	/* 2: a binary tree instead of a chain; older libraries only know the chain. */
	seccomp_attr_set(compiler.context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (add_architectures(&compiler, err) < 0)
		return -1;
	for (size_t i = 0; i < profile->rule_count; i++)
		if (add_rule(&compiler, &profile->rules[i], err) < 0)
			return -1;
	if (export_program(&compiler, filter, err) < 0)
		return -1;
	filter->notify = compiler.notify;
	if (wants_enosys(&compiler))
		add_prologue(&compiler, filter);
	if (filter->count > BPF_MAXINSNS)
		return error_set(err, ERR_INVALID, "seccomp: the profile gives %zu instructions, the kernel takes %d",
				 filter->count, BPF_MAXINSNS);
	return parse_flags(profile, filter, err);
}

int seccomp_filter_build(struct seccomp_filter *out_filter, const struct seccomp_profile *profile,
			 const char *cache_dir, struct error *err)
{
	AUTO(text_fini) struct text bytes = { 0 };
	struct seccomp_filter filter = { 0 };

	canonical_bytes(&bytes, profile);
	if (cache_dir && cache_load(out_filter, &bytes, cache_dir))
		return 0;
	if (compile(&filter, profile, err) < 0) {
		seccomp_filter_fini(&filter);
		return -1;
	}
	if (cache_dir)
		cache_store(&filter, &bytes, cache_dir);
	*out_filter = filter;
	return 0;
}

char *seccomp_call_name(uint32_t architecture, int number)
{
	AUTO_FREE char *name = seccomp_syscall_resolve_num_arch(architecture, number);

	return name ? xstrdup(name) : NULL;
}

const char *seccomp_architecture_name(uint32_t architecture)
{
	const char *name;

	for (size_t i = 0; (name = seccomp_architecture_at(i)); i++) {
		const struct word *word = find_word(architecture_words, name);

		if (word && word->value == architecture)
			return name;
	}
	return NULL;
}
