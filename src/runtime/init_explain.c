/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve says ENOENT for a missing script interpreter or ELF loader, ENOEXEC
 * for a wrong architecture, EACCES for five different things. Here the file is
 * looked at once more to name the cause. The words of runc stay in the text.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "runtime/init.h"

#define HEAD_MAX 4096
#define INTERPRETER_MAX 256

static const struct {
	unsigned number;
	const char *name;
} machines[] = {
	{ EM_X86_64, "x86-64" },    { EM_386, "x86 (32 bit)" }, { EM_AARCH64, "arm64" },
	{ EM_ARM, "arm (32 bit)" }, { EM_PPC64, "ppc64" },	{ EM_S390, "s390x" },
	{ EM_RISCV, "riscv" },	    { EM_MIPS, "mips" },	{ EM_LOONGARCH, "loong64" },
};

const char *init_errno_text(char out[64], int errnum)
{
	const char *text = strerrordesc_np(errnum);

	snprintf(out, 64, "%s", text ? text : "unknown error");
	if (out[0] >= 'A' && out[0] <= 'Z' && out[1] >= 'a' && out[1] <= 'z')
		out[0] = (char)(out[0] - 'A' + 'a');
	return out;
}

/* "exec PATH: <errno in runc's words>: <the cause>". */
__attribute__((format(printf, 4, 5))) static int tell(struct error *err, const char *path, int errnum,
						      const char *cause, ...)
{
	AUTO(text_fini) struct text message = { 0 };
	AUTO_FREE char *more = NULL;
	char words[64];
	va_list args;

	text_addf(&message, "exec %s: %s", path, init_errno_text(words, errnum));
	va_start(args, cause);
	more = xvasprintf(cause, args);
	va_end(args);
	if (*more)
		text_addf(&message, ": %s", more);
	error_set(err,
		  errnum == ENOENT   ? ERR_NOT_FOUND
		  : errnum == EACCES ? ERR_FORBIDDEN
				     : ERR_INVALID,
		  "%s", message.data);
	err->errnum = errnum;
	return -1;
}

static const char *machine_name(unsigned number)
{
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (machines[i].number == number)
			return machines[i].name;
	return "an unknown architecture";
}

/* "#!/bin/sh\r": the kernel looks for an interpreter whose name ends in a carriage return. */
static int explain_script(const char *path, char *head, int errnum, struct error *err)
{
	char *line = head + 2;
	char *interpreter;
	bool has_cr;

	line[strcspn(line, "\n")] = '\0';
	has_cr = strchr(line, '\r') != NULL;
	line[strcspn(line, "\r")] = '\0';
	interpreter = line + strspn(line, " \t");
	interpreter[strcspn(interpreter, " \t")] = '\0';
	if (has_cr)
		return tell(err, path, errnum,
			    "the first line \"#!%s\" ends in CRLF (Windows line ends): save the file with "
			    "LF",
			    interpreter);
	if (*interpreter && access(interpreter, F_OK) < 0)
		return tell(err, path, errnum, "its interpreter %s does not exist", interpreter);
	if (*interpreter && access(interpreter, X_OK) < 0)
		return tell(err, path, errnum, "its interpreter %s is not executable", interpreter);
	return tell(err, path, errnum, "script of %s", interpreter);
}

struct elf_segment {
	uint64_t offset;
	uint64_t size;
};

/* Finds PT_INTERP; false if there is none. Only files of our own byte order get here. */
static bool find_interpreter(int fd, const char *head, struct elf_segment *out_segment)
{
	bool is_64 = head[EI_CLASS] == ELFCLASS64;
	const Elf64_Ehdr *header64 = (const void *)head;
	const Elf32_Ehdr *header32 = (const void *)head;
	uint64_t at = is_64 ? header64->e_phoff : header32->e_phoff;
	unsigned count = is_64 ? header64->e_phnum : header32->e_phnum;

	for (unsigned i = 0; i < count && i < 128; i++) {
		Elf64_Phdr segment64 = { 0 };
		Elf32_Phdr segment32 = { 0 };
		void *segment = is_64 ? (void *)&segment64 : (void *)&segment32;
		size_t size = is_64 ? sizeof(segment64) : sizeof(segment32);

		if (pread(fd, segment, size, (off_t)(at + i * size)) != (ssize_t)size)
			return false;
		if ((is_64 ? segment64.p_type : segment32.p_type) != PT_INTERP)
			continue;
		out_segment->offset = is_64 ? segment64.p_offset : segment32.p_offset;
		out_segment->size = is_64 ? segment64.p_filesz : segment32.p_filesz;
		return true;
	}
	return false;
}

static int explain_elf(const char *path, int fd, const char *head, int errnum, struct error *err)
{
	const Elf64_Ehdr *header = (const void *)head; /* e_machine lies alike in both classes */
	char interpreter[INTERPRETER_MAX + 1] = { 0 };
	struct elf_segment segment;
	struct utsname host;

	if (errnum == ENOEXEC) {
		uname(&host);
		return tell(err, path, errnum,
			    "the program is built for %s, this machine is %s (wrong image platform?)",
			    machine_name(header->e_machine), host.machine);
	}
	if (find_interpreter(fd, head, &segment) && segment.size <= INTERPRETER_MAX &&
	    pread(fd, interpreter, segment.size, (off_t)segment.offset) > 0 && access(interpreter, F_OK) < 0)
		return tell(err, path, errnum,
			    "its ELF interpreter %s does not exist (another libc, or a missing "
			    "library package in the image?)",
			    interpreter);
	return tell(err, path, errnum, "%s", "");
}

static int explain_denied(const char *path, int errnum, struct error *err)
{
	struct stat st;
	struct statvfs fs;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return tell(err, path, errnum, "it is a directory");
	if (statvfs(path, &fs) == 0 && fs.f_flag & ST_NOEXEC)
		return tell(err, path, errnum, "it lies on a mount with noexec");
	if (stat(path, &st) == 0 && access(path, X_OK) < 0)
		return tell(err, path, errnum, "mode %04o of owner %u:%u does not let user %u execute it",
			    st.st_mode & 07777, st.st_uid, st.st_gid, getuid());
	return 0;
}

int init_explain_exec(const char *path, int errnum, struct error *err)
{
	char head[HEAD_MAX + 1] __attribute__((aligned(8))) = { 0 };
	AUTO_CLOSE int fd = -1;
	ssize_t size;

	if (errnum == EACCES && explain_denied(path, errnum, err) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size = fd < 0 ? -1 : read(fd, head, HEAD_MAX);
	if (size >= 2 && head[0] == '#' && head[1] == '!')
		return explain_script(path, head, errnum, err);
	if (size >= (ssize_t)sizeof(Elf32_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0)
		return explain_elf(path, fd, head, errnum, err);
	if (errnum == ENOEXEC)
		return tell(err, path, errnum, "it is neither an ELF program nor a script that begins with #!");
	return tell(err, path, errnum, "%s", "");
}
