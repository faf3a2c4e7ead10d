"""A small demo that says each phase on standard output, to be interrupted."""

from __future__ import annotations

import sys

from railgun.errors import RailGunError
from railgun.runtime.demo.options import DemoOptions
from railgun.runtime.demo.run import Progress, run_demo
from railgun.runtime.system import run

OPTIONS = DemoOptions(
    relays=3, members=2, messages=5, committee=3, epoch_seconds=10, overlap_seconds=2, duration_seconds=60
)


def tell(progress: Progress) -> None:
    print(progress.phase, flush=True)


if __name__ == "__main__":
    try:
        run(run_demo(OPTIONS, tell))
    except RailGunError as error:
        print(f"error: {error}", flush=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
