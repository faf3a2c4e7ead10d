"""Verified marks: about two roots, kept, not to be made by whoever writes to the disk."""

from __future__ import annotations

import pytest

from railgun.core.verification import Verification
from railgun.errors import UsageError
from tests.support import rosters as r

ANNA, BERT = r.Device("anna").root.root_key, r.Device("bert").root.root_key
SECRET = b"s" * 32


def test_a_mark_is_kept_and_taken_back() -> None:
    marks = Verification(ANNA, SECRET)
    assert marks.verified_at(BERT) is None
    (write,) = marks.mark(BERT, 1_000.7)
    assert write.value is not None
    rows = [(write.key, write.value), (b"network", b"of another kind")]
    again = Verification(ANNA, SECRET, rows)
    assert again.verified_at(BERT) == marks.verified_at(BERT) == 1_000
    assert BERT not in write.key
    (gone,) = again.unmark(BERT)
    assert (gone.key, gone.value) == (write.key, None)
    assert again.unmark(BERT) == ()
    assert again.verified_at(BERT) is None
    # Another profile's secret, or person, makes nothing of the row.
    assert Verification(ANNA, b"t" * 32, rows).verified_at(BERT) is None
    assert Verification(BERT, SECRET, rows).verified_at(ANNA) is None


def test_numbers_agree_and_devices_do_not_matter() -> None:
    phone = r.Device("bert's phone", person="bert")
    assert Verification(ANNA, SECRET).number(BERT) == Verification(BERT, SECRET).number(ANNA)
    assert phone.root.root_key == BERT
    with pytest.raises(UsageError):
        Verification(ANNA, SECRET).mark(ANNA, 0.0)
