"""How long the tasks of a worker may go on while nobody hears of it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a worker was granted when it was last heard: later its tasks count as lost and may run elsewhere.

    So they have to be gone by then, though the worker itself may hang or be dead: the supervisor sees to it.

    :param until: when the last process has to be gone, in seconds since boot, which all processes of a host share, and
        which go on while it is suspended: so does the time of who else may run the tasks.
    :param seconds: how long a lease is.
    """

    until: float = math.inf
    seconds: float = math.inf

    def stop_at(self, grace: float) -> float:
        """When TERM has to be sent, so that there is time for its grace; of a long grace, half a lease is given.

        :param grace: the seconds between TERM and KILL.
        """
        return self.until - min(grace, self.seconds / 2)
