"""``python -m railgun_signaling``: the same as the command."""

from __future__ import annotations

import sys

from railgun_signaling.cli import main

sys.exit(main())
