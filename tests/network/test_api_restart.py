"""A member that closes and comes back in the middle of an epoch, on real links and a real disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from railgun.core import tag_set
from railgun.core.seen_envelopes import TABLE
from railgun.runtime.member_store import load_seen
from tests.support.api_lab import WAIT_SECONDS, lab, texts, texts_of, whole_history

SAID = 40


async def test_who_comes_back_takes_in_what_is_new_and_not_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_set, "SEEN_KEPT_SECONDS", 0.2)
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert, cover="off")
        for number in range(SAID):
            await here.send(str(number))
        assert len(await texts_of(there, SAID)) == SAID
        machine, store = bert.shared.machine, bert.shared.store

        def all_kept() -> bool:
            seen = load_seen(store)
            tags = [tag for tag in machine.tags.of_room(there.room_id) if tag.intake.seen_count >= SAID]
            return any(len(seen.take(there.room_id, tag.keys)) == tag.intake.seen_count for tag in tags)

        assert await bert.wait_until(all_kept, WAIT_SECONDS)
        received = machine.counters.envelopes_received
        assert received >= SAID
        await bert.aclose()
        for number in range(3):
            await here.send(f"meanwhile {number}")

        bert = await net.connect("bert")
        again = bert.room("ops")
        await here.send("after")
        assert await bert.wait_until(lambda: len(whole_history(again)) == SAID + 4, WAIT_SECONDS)
        fresh = {text for text in texts(whole_history(again)) if not text.isdigit()}
        assert fresh == {"meanwhile 0", "meanwhile 1", "meanwhile 2", "after"}
        assert bert.shared.machine.counters.envelopes_received < SAID / 2
        await again.leave()
        assert bert.shared.store.count(TABLE) == 0, "what is left takes everything along"
