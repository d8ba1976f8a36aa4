/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_default.h - the system calls a container may make unless the user
 * says otherwise: docker's rules, in docker's profile form, as JSON text.
 * It is an allow list: everything else answers EPERM.
 */
#pragma once

extern const char seccomp_default_profile[];
