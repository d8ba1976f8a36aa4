/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor ROOTFS PROGRAM - what the kernel takes for a container, and nothing else: a group in each v1 hierarchy,
 * clone3 into new namespaces, the mounts of `runc spec`, pivot_root, execve, the end, the groups removed. No JSON, no
 * record, no terminal, no device, no masked path, no seccomp filter, no capability dropped; nothing is checked twice.
 */
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char groups[16][96];
static int count;

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		_exit(1);
	}
}

static void put(const char *group, const char *file, const char *value)
{
	char path[160];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	out = fopen(path, "w");
	must(out && fputs(value, out) >= 0 && fclose(out) == 0, path);
}

static void make_groups(void)
{
	FILE *in = fopen("/proc/self/cgroup", "r");
	char line[256];

	while (in && fgets(line, sizeof(line), in) && count < 16) {
		char *name = strchr(line, ':') + 1;

		*strchr(name, ':') = '\0';
		name += strncmp(name, "name=", 5) == 0 ? 5 : 0;
		if (!*name)
			continue;
		snprintf(groups[count], sizeof(groups[0]), "/sys/fs/cgroup/%.40s/kist-floor-%d", name, getpid());
		must(mkdir(groups[count], 0755) == 0, groups[count]);
		if (strcmp(name, "cpuset") == 0) {
			put(groups[count], "cpuset.cpus", "0");
			put(groups[count], "cpuset.mems", "0");
		}
		count++;
	}
}

static void mount_at(const char *type, const char *place, unsigned long flags, const char *data)
{
	mkdir(place, 0755);
	must(mount(type, place, type, flags, data) == 0, place);
}

static void become(const char *root, char **argv)
{
	for (int i = 0; i < count; i++)
		put(groups[i], "tasks", "0");
	must(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0 &&
		     mount(root, root, NULL, MS_BIND | MS_REC, NULL) == 0 && chdir(root) == 0,
	     root);
	mount_at("proc", "proc", 0, NULL);
	mount_at("tmpfs", "dev", MS_NOSUID, "mode=755,size=65536k");
	mount_at("devpts", "dev/pts", MS_NOSUID, "newinstance,ptmxmode=0666,mode=0620,gid=5");
	mount_at("tmpfs", "dev/shm", MS_NOSUID, "mode=1777,size=65536k");
	mount_at("mqueue", "dev/mqueue", MS_NOSUID, NULL);
	mount_at("sysfs", "sys", MS_RDONLY, NULL);
	must(syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, "pivot_root");
	execv(argv[0], argv);
	must(0, argv[0]);
}

int main(int argc, char **argv)
{
	struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET,
				   .exit_signal = SIGCHLD };
	int status = 1;
	pid_t pid;

	must(argc > 2, "usage: floor ROOTFS PROGRAM");
	make_groups();
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	must(pid >= 0, "clone3");
	if (pid == 0)
		become(argv[1], argv + 2);
	waitpid(pid, &status, 0);
	for (int i = 0; i < count; i++)
		rmdir(groups[i]);
	return status != 0;
}
