# SPDX-License-Identifier: Apache-2.0
"""Patience: whatever follows something else is waited for, never slept for."""
import time


def wait_for(condition, what="condition", patience=120):
    """What `condition()` gives as soon as that is something. `what` may be a function: what there is to say at the end."""
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {patience} s for {what() if callable(what) else what}"
        time.sleep(0.02)
    return found
