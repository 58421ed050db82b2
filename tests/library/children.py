"""Children that may be killed, or that work at the same time: forked, so that nothing is imported again."""

import os
import traceback
from collections.abc import Callable


def in_a_child(work: Callable[[], object]) -> int:
    """Do something in a child; what it changes in modules stays there.

    Returns:
        0, or 1 after an error; minus the signal where one has ended it.
    """
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
