"""Every bound in one place: what a peer, a file or a caller can make us hold or do.

Owns: the numbers, each with its reason, by subject; all are imported from here. Must not know: who enforces them.
Units stand last in the names. A collection that a peer feeds and that has no bound here is a bug. A new bound goes
into the module of its subject, and needs no second mention: each module holds bounds and nothing else.
"""

# ruff: noqa: F403
from __future__ import annotations

from railgun.limits.cover import *
from railgun.limits.dht import *
from railgun.limits.direct import *
from railgun.limits.directory import *
from railgun.limits.files import *
from railgun.limits.keys import *
from railgun.limits.links import *
from railgun.limits.messages import *
from railgun.limits.rendezvous import *
from railgun.limits.rooms import *
from railgun.limits.storage import *
from railgun.limits.tags import *
