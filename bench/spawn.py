"""Run one command and print what it cost: CPU seconds, peak memory in MiB, exit status.

Decisions: run by an interpreter that imports nothing (`python -I -S`), because a child inherits the peak memory of
the process that starts it; the cost includes every grandchild that was waited for, such as the probe of the registry.
"""

import os
import sys

if __name__ == "__main__":
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
    _, status, used = os.wait4(pid, 0)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, os.waitstatus_to_exitcode(status))
