"""`railgun send --key`: a command that is run again says nothing twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from railgun.cli.parser import build_parser
from railgun.errors import UsageError
from railgun.runtime.peer_service import PeerService
from tests.support.api_lab import hears, lab
from tests.support.commands import check_schema


async def test_a_send_under_one_key_goes_out_once_also_after_a_restart(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)

        async def send(text: str, **more: Any) -> dict[str, Any]:
            asked = {"room": "ops", "text": text, "timeout_seconds": 20, **more}
            answer = await PeerService(anna).call("send", json.loads(json.dumps(asked)))
            check_schema("send", answer)
            return answer

        first = await send("once", key="backup of monday")
        assert await send("once", key="backup of monday") == first | {"latency_ms": pytest.approx(0.0, abs=20_000.0)}
        await anna.aclose()
        anna = await net.connect("anna")
        assert (await send("once", key="backup of monday"))["message_id"] == first["message_id"]
        other = await send("twice", key="backup of tuesday")
        assert other["message_id"] != first["message_id"]
        again, and_again = await send("no key"), await send("no key")
        assert again["message_id"] != and_again["message_id"]
        for key in ("", "x" * 65, "caf\udce9"):
            with pytest.raises(UsageError, match="1 to 64 bytes in UTF-8"):
                await anna.room("ops").send("never", key=key)
        await anna.room("ops").send("last")
        await hears(there, "last")
        assert [message.text for message in there.history()] == ["once", "twice", "no key", "no key", "last"]
        assert here.name == "ops"


def test_the_command_hands_the_key_on() -> None:
    given = build_parser().parse_args(["send", "ops", "text", "--key", "k"])
    assert (given.key, given.file) == ("k", None)
