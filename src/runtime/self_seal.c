/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: what /proc/self/exe leads to is the memory's "exe file", and
 * prctl(PR_SET_MM_MAP) may change it once nothing is mapped from the old one.
 * So each segment of the program is mapped again, in its place, from the same
 * file on the read-only mount (what is written to already: copied), and then
 * the exe file is exchanged. This spares a second execve, which a static
 * program of this libc pays for with 0.5 ms in a virtual machine: its start
 * asks the processor dozens of questions, and each of them leaves the machine.
 * Where any step is not possible, the program executes itself again.
 */
#include "runtime/self_seal.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/program.h"
#include "sys/mount_api.h"

#define STAT_FIELDS 52

extern char **environ;
/* The linker's: our own ELF header in memory. */
extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));

static int mount_kept = -1;
static bool pending; /* mount_kept is to be moved to */

int self_seal_open(void)
{
	struct statvfs fs;
	AUTO_CLOSE int fd = -1;

	if (geteuid() != 0 || statvfs("/proc/self/exe", &fs) < 0 || fs.f_flag & ST_RDONLY)
		return -1;
	fd = mount_clone(AT_FDCWD, "/proc/self/exe", 0);
	if (fd < 0 || mount_change(fd, 0, MOUNT_ATTR_RDONLY, 0, 0) < 0)
		return -1;
	return take_fd(&fd);
}

void self_seal_release(void)
{
	if (mount_kept >= 0)
		close(take_fd(&mount_kept));
}

/* proc(5): all numbers of /proc/self/stat behind the name; fields[3] is the first of them. */
static int read_stat(uint64_t fields[STAT_FIELDS + 1])
{
	AUTO_CLOSE int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	char text[1536];
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	char *at;

	if (size <= 0)
		return -EIO;
	text[size] = '\0';
	at = strrchr(text, ')');
	/* The state, field 3, is a letter. */
	at = at && strlen(at) > 4 ? at + 4 : NULL;
	for (int i = 4; i <= STAT_FIELDS && at; i++)
		fields[i] = strtoull(at, &at, 10);
	return at ? 0 : -EIO;
}

/* The layout as it is: only the file changes. */
static int change_exe(int fd)
{
	uint64_t fields[STAT_FIELDS + 1] = { 0 };
	struct prctl_mm_map map;
	int r = read_stat(fields);

	if (r < 0)
		return r;
	map = (struct prctl_mm_map){ .start_code = fields[26],
				     .end_code = fields[27],
				     .start_stack = fields[28],
				     .start_data = fields[45],
				     .end_data = fields[46],
				     .start_brk = fields[47],
				     .brk = (uint64_t)(uintptr_t)sbrk(0),
				     .arg_start = fields[48],
				     .arg_end = fields[49],
				     .env_start = fields[50],
				     .env_end = fields[51],
				     .exe_fd = (uint32_t)fd };
	return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) < 0 ? -errno : 0;
}

/* Between the copy and the exchange nothing may write to the segment: no call that does is made. */
static int replace_writable(char *begin, size_t size)
{
	char *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy == MAP_FAILED)
		return -ENOMEM;
	memcpy(copy, begin, size);
	return mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, begin) == MAP_FAILED ? -ENOMEM : 0;
}

static uintptr_t page_down(uintptr_t address)
{
	return address & ~((uintptr_t)4096 - 1);
}

static int replace_segment(const Elf64_Phdr *segment, int fd)
{
	uintptr_t begin = page_down(segment->p_vaddr);
	uintptr_t end = page_down(segment->p_vaddr + segment->p_filesz + 4095);
	int protection = (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_X ? PROT_EXEC : 0);
	void *place = (void *)begin;

	if (end == begin)
		return 0;
	if (segment->p_flags & PF_W)
		return replace_writable(place, end - begin);
	if (mmap(place, end - begin, protection, MAP_PRIVATE | MAP_FIXED, fd, (off_t)page_down(segment->p_offset)) ==
	    MAP_FAILED)
		return -errno;
	return 0;
}

/* Only what a plain static program is made of: no interpreter, nothing moved, pages of 4 KiB. */
static bool is_simple(const Elf64_Phdr *headers, size_t count)
{
	if (__ehdr_start.e_type != ET_EXEC || sysconf(_SC_PAGESIZE) != 4096)
		return false;
	for (size_t i = 0; i < count; i++)
		if (headers[i].p_type == PT_INTERP)
			return false;
	return true;
}

static int seal_in_place(int mount_fd)
{
	const Elf64_Phdr *headers = (const Elf64_Phdr *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);
	const Elf64_Phdr *relro = NULL;
	size_t count = __ehdr_start.e_phnum;
	char path[40];
	AUTO_CLOSE int fd = -1;

	if (!is_simple(headers, count))
		return -ENOTSUP;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", mount_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < count; i++) {
		int r = headers[i].p_type == PT_LOAD ? replace_segment(&headers[i], fd) : 0;

		if (r < 0)
			return r;
		if (headers[i].p_type == PT_GNU_RELRO)
			relro = &headers[i];
	}
	if (relro && mprotect((void *)page_down(relro->p_vaddr),
			      page_down(relro->p_vaddr + relro->p_memsz) - page_down(relro->p_vaddr), PROT_READ) < 0)
		return -errno;
	return change_exe(fd);
}

/* Nothing but a lack of memory fails later then. */
static bool can_be_late(void)
{
	const Elf64_Phdr *headers = (const Elf64_Phdr *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);
	unsigned size = 0;

	return is_simple(headers, __ehdr_start.e_phnum) && prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0 &&
	       size == sizeof(struct prctl_mm_map);
}

int self_seal_finish(void)
{
	if (!pending)
		return 0;
	pending = false;
	return seal_in_place(mount_kept);
}

void self_seal(char *const *argv, bool may_wait)
{
	AUTO_CLOSE int fd = self_seal_open();

	if (fd < 0)
		return;
	if (may_wait && can_be_late()) {
		mount_kept = take_fd(&fd);
		pending = true;
		return;
	}
	program_keep_folder();
	/* The end of a detached mount is a wait for all processors: not now, see self_seal_release(). */
	if (seal_in_place(fd) == 0)
		mount_kept = take_fd(&fd);
	else
		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
}
