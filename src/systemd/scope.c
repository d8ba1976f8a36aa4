/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: StartTransientUnit and StopUnit answer with a job. The job is
 * over when the signal JobRemoved names it; the match for that signal is there
 * before the call, so it cannot be missed.
 */
#include "systemd/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "systemd/property.h"

#define SERVICE "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER SERVICE ".Manager"
#define JOB_TIMEOUT_S 60

struct scope_bus {
	sd_bus *bus;
	char *job;    /* owned: the job waited for */
	char *result; /* owned: "done", "failed", ... when it is over */
};

static void message_unref(sd_bus_message **message)
{
	sd_bus_message_unref(*message);
}

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *ignored)
{
	struct scope_bus *bus = userdata;
	const char *job, *unit, *result;
	uint32_t id;

	(void)ignored;
	if (sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) >= 0 && text_equal(job, bus->job)) {
		free(bus->result);
		bus->result = xstrdup(result);
	}
	return 0;
}

/* Where no message bus runs, systemd itself listens for those it serves. */
static int connect_to_manager(sd_bus **out_bus, bool user)
{
	int r = user ? sd_bus_open_user(out_bus) : sd_bus_open_system(out_bus);
	const char *folder = user ? getenv("XDG_RUNTIME_DIR") : "/run";
	AUTO_FREE char *address = NULL;

	if (r >= 0 || !folder)
		return r;
	if (sd_bus_new(out_bus) < 0)
		return -ENOMEM;
	address = xasprintf("unix:path=%s/systemd/private", folder);
	r = sd_bus_set_address(*out_bus, address);
	return r < 0 ? r : sd_bus_start(*out_bus);
}

int scope_bus_open(struct scope_bus **out_bus, bool user, struct error *err)
{
	AUTO(scope_bus_closep) struct scope_bus *bus = xcalloc(1, sizeof(*bus));
	int r = connect_to_manager(&bus->bus, user);

	if (r < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, r, "connect to %s systemd over D-Bus",
				       user ? "the user's" : "the system's");
	r = sd_bus_match_signal(bus->bus, NULL, NULL, MANAGER_PATH, MANAGER, "JobRemoved", on_job_removed, bus);
	if (r >= 0)
		r = sd_bus_call_method(bus->bus, SERVICE, MANAGER_PATH, MANAGER, "Subscribe", NULL, NULL, NULL);
	if (r < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, r, "subscribe to systemd's signals (is it PID 1?)");
	*out_bus = take_ptr(bus);
	return 0;
}

void scope_bus_close(struct scope_bus *bus)
{
	if (!bus)
		return;
	sd_bus_flush_close_unref(bus->bus);
	free(bus->job);
	free(bus->result);
	free(bus);
}

/* systemd's own words; an existing unit is a kind of its own. */
static int call_failed(const sd_bus_error *error, int errnum, const char *what, const char *unit, struct error *err)
{
	enum error_kind kind = sd_bus_error_has_name(error, SERVICE ".UnitExists")   ? ERR_CONFLICT
			       : sd_bus_error_has_name(error, SERVICE ".NoSuchUnit") ? ERR_NOT_FOUND
										     : ERR_INTERNAL;

	if (error->message)
		return error_set(err, kind, "systemd: %s %s: %s", what, unit, error->message);
	return error_set_errno(err, kind, errnum, "systemd: %s %s", what, unit);
}

static int wait_for_job(struct scope_bus *bus, sd_bus_message *reply, const char *what, const char *unit,
			struct error *err)
{
	int64_t deadline = clock_monotonic_ns() + JOB_TIMEOUT_S * CLOCK_SECOND;
	const char *job;

	if (sd_bus_message_read(reply, "o", &job) < 0)
		return error_set(err, ERR_INTERNAL, "systemd: %s %s: unexpected answer", what, unit);
	free(bus->job);
	bus->job = xstrdup(job);
	while (!bus->result) {
		int r = sd_bus_process(bus->bus, NULL);

		if (r == 0 && clock_monotonic_ns() > deadline)
			return error_set(err, ERR_UNAVAILABLE, "systemd: %s %s: not done within %d s", what, unit,
					 JOB_TIMEOUT_S);
		if (r == 0)
			r = sd_bus_wait(bus->bus, 1000000);
		if (r < 0 && r != -EINTR)
			return error_set_errno(err, ERR_UNAVAILABLE, r, "systemd: %s %s", what, unit);
	}
	if (!text_equal(bus->result, "done"))
		return error_set(err, ERR_INTERNAL, "systemd: %s %s: the job ended with \"%s\"", what, unit,
				 bus->result);
	return 0;
}

static int new_call(struct scope_bus *bus, sd_bus_message **out_message, const char *member, struct error *err)
{
	int r = sd_bus_message_new_method_call(bus->bus, out_message, SERVICE, MANAGER_PATH, MANAGER, member);

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "systemd: %s", member) : 0;
}

static int call_start(struct scope_bus *bus, const char *unit, const char *properties, struct error *err)
{
	AUTO(message_unref) sd_bus_message *message = NULL;
	AUTO(message_unref) sd_bus_message *reply = NULL;
	__attribute__((cleanup(sd_bus_error_free))) sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *own_pid = xasprintf("PIDs au %d", getpid());
	bool is_slice = text_has_suffix(unit, ".slice");
	int r;

	if (new_call(bus, &message, "StartTransientUnit", err) < 0)
		return -1;
	r = sd_bus_message_append(message, "ss", unit, "fail");
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "(sv)");
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "systemd: make the call");
	if (property_append_all(message, properties, err) < 0 ||
	    (!is_slice && property_append_all(message, own_pid, err) < 0))
		return -1;
	r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_message_append(message, "a(sa(sv))", 0);
	if (r >= 0)
		r = sd_bus_call(bus->bus, message, 0, &error, &reply);
	if (r < 0)
		return call_failed(&error, r, "start unit", unit, err);
	return wait_for_job(bus, reply, "start unit", unit, err);
}

/* A unit of a former container that ended badly keeps its name until it is told to forget. */
static void reset_failed(struct scope_bus *bus, const char *unit)
{
	sd_bus_call_method(bus->bus, SERVICE, MANAGER_PATH, MANAGER, "ResetFailedUnit", NULL, NULL, "s", unit);
}

static int find_cgroup(struct scope_bus *bus, const char *unit, char **out_cgroup, struct error *err)
{
	__attribute__((cleanup(sd_bus_error_free))) sd_bus_error error = SD_BUS_ERROR_NULL;
	const char *interface = text_has_suffix(unit, ".slice") ? SERVICE ".Slice" : SERVICE ".Scope";
	AUTO_FREE char *path = NULL;
	int r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path);

	if (r >= 0)
		r = sd_bus_get_property_string(bus->bus, SERVICE, path, interface, "ControlGroup", &error, out_cgroup);
	return r < 0 ? call_failed(&error, r, "find the cgroup of", unit, err) : 0;
}

int scope_start(struct scope_bus *bus, const char *unit, const char *properties, char **out_cgroup, struct error *err)
{
	int r = call_start(bus, unit, properties, err);

	if (r < 0 && err->kind == ERR_CONFLICT) {
		reset_failed(bus, unit);
		error_clear(err);
		r = call_start(bus, unit, properties, err);
	}
	return r < 0 ? -1 : find_cgroup(bus, unit, out_cgroup, err);
}

int scope_attach(struct scope_bus *bus, const char *unit, pid_t pid, struct error *err)
{
	__attribute__((cleanup(sd_bus_error_free))) sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_call_method(bus->bus, SERVICE, MANAGER_PATH, MANAGER, "AttachProcessesToUnit", &error, NULL,
				   "ssau", unit, "", 1, (uint32_t)pid);

	return r < 0 ? call_failed(&error, r, "move a process into unit", unit, err) : 0;
}

int scope_set(struct scope_bus *bus, const char *unit, const char *properties, struct error *err)
{
	AUTO(message_unref) sd_bus_message *message = NULL;
	__attribute__((cleanup(sd_bus_error_free))) sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	if (new_call(bus, &message, "SetUnitProperties", err) < 0)
		return -1;
	r = sd_bus_message_append(message, "sb", unit, 1);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "(sv)");
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "systemd: make the call");
	if (property_append_all(message, properties, err) < 0)
		return -1;
	r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_call(bus->bus, message, 0, &error, NULL);
	return r < 0 ? call_failed(&error, r, "change unit", unit, err) : 0;
}

int scope_stop(struct scope_bus *bus, const char *unit, struct error *err)
{
	AUTO(message_unref) sd_bus_message *reply = NULL;
	__attribute__((cleanup(sd_bus_error_free))) sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_call_method(bus->bus, SERVICE, MANAGER_PATH, MANAGER, "StopUnit", &error, &reply, "ss", unit,
				   "replace");

	if (r < 0 && sd_bus_error_has_name(&error, SERVICE ".NoSuchUnit"))
		return 0;
	if (r < 0)
		return call_failed(&error, r, "stop unit", unit, err);
	if (wait_for_job(bus, reply, "stop unit", unit, err) < 0)
		return -1;
	reset_failed(bus, unit);
	return 0;
}
