"""The form of what machines want kept, under the name that machines use.

Owns: nothing; `Write` belongs to the `Store` port, which may not look up at the machines.
Must not know: where or how anything is stored.
"""

from railgun.ports import Write

__all__ = ["Write"]
