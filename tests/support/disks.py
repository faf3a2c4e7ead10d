"""What a process that is killed at this moment leaves on its disk."""

from __future__ import annotations

import shutil

from tests.support.api_lab import Lab


def disk_of(net: Lab, name: str, copy: str) -> str:
    """Copy a profile as it is, under another name, which is returned."""
    shutil.copytree(net.profile(name), net.directory / copy)
    (net.directory / copy / "lock").unlink(missing_ok=True)
    return copy
