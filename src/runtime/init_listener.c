/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/init_listener.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/quote.h"
#include "sys/fd_pass.h"

#define STACK_SIZE (64 * 1024)
#define PENDING (-1)
#define SPIN_NS 50000

struct handover {
	const char *message;
	size_t size;
	int socket_fd;
	atomic_int listener_fd; /* PENDING, or what loading returned: a descriptor, or -errno - 1 */
	atomic_int result;	/* PENDING; 0; errno */
};

static void wait_while_pending(atomic_int *value)
{
	const struct timespec pause = { .tv_nsec = SPIN_NS };

	while (atomic_load(value) == PENDING)
		syscall(SYS_nanosleep, &pause, NULL);
}

static int hand_over(void *argument)
{
	struct handover *handover = argument;
	int listener_fd;
	int r = 0;

	wait_while_pending(&handover->listener_fd);
	listener_fd = atomic_load(&handover->listener_fd);
	if (listener_fd >= 0) {
		r = fd_pass_send(handover->socket_fd, handover->message, handover->size, &listener_fd, 1);
		close(listener_fd);
	}
	close(handover->socket_fd);
	atomic_store(&handover->result, -r);
	syscall(SYS_exit, 0);
	return 0;
}

/* The specification's ContainerProcessState. The pid is known outside only. */
static char *process_state(const struct plan *plan)
{
	const struct spec_seccomp *seccomp = plan->spec->linux_.seccomp;
	const char *metadata = seccomp ? text_or_empty(seccomp->listener_metadata) : "";
	pid_t pid = *plan->shared_pid;
	AUTO_FREE char *state = record_state_json(plan->record, plan->create ? RUNTIME_CREATING : RUNTIME_RUNNING,
						  plan->create ? pid : plan->record->pid);
	struct text text = { 0 };

	text_addf(&text, "{\"ociVersion\":\"" SPEC_VERSION "\",\"fds\":[\"seccompFd\"],\"pid\":%d,\"metadata\":", pid);
	quote_json(&text, metadata, strlen(metadata));
	text_addf(&text, ",\"state\":%s}", state);
	return text_take(&text);
}

int init_listener_load(const struct plan *plan, struct error *err)
{
	AUTO_FREE char *message = process_state(plan);
	struct handover handover = { .message = message,
				     .size = strlen(message),
				     .socket_fd = plan->listener_fd,
				     .listener_fd = PENDING,
				     .result = PENDING };
	char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	int loaded;

	if (stack == MAP_FAILED ||
	    clone(hand_over, stack + STACK_SIZE,
		  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, &handover) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "linux.seccomp: start the thread for the listener");
	loaded = seccomp_filter_load(plan->filter);
	atomic_store(&handover.listener_fd, loaded < 0 ? loaded - 1 : loaded);
	/* No system call here: the agent does not know of them yet. */
	while (atomic_load(&handover.result) == PENDING)
		;
	if (loaded < 0)
		return error_set_errno(err, ERR_INTERNAL, loaded, "load the system call filter (linux.seccomp)");
	if (atomic_load(&handover.result) != 0)
		return error_set_errno(err, ERR_UNAVAILABLE, atomic_load(&handover.result),
				       "linux.seccomp.listenerPath: send the listener to the agent");
	return 0;
}
