"""A publisher's days, and a clock's: what both languages are to make of the same calls.

Owns: the Python half of the machines `publisher` and `clock`. Must not know: how the other half is run.
"""

from __future__ import annotations

from random import Random
from typing import Any

from railgun.core.agenda import Agenda
from railgun.core.clock import EpochClock
from railgun.core.committee import Committee, order_relays
from railgun.core.counters import ClientCounters
from railgun.core.effects import Effects, SendFrame, SetTimer
from railgun.core.publisher import Outgoing, Progress, Publisher
from railgun.core.pull_windows import PullWindows
from railgun.crypto.hashing import content_hash
from railgun.crypto.receipts import sign_receipt
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.errors import PeerError
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import Address, EnvelopeId, NodeKey, PeerKey, Role, Tag
from railgun.wire.frames import FRAMES, Receipt
from railgun.wire.records import Ad
from tests.interop.differential_decoders import Json, code_of

RELAYS = 9
IDS = 6


# --- the clock -------------------------------------------------------------------------------------


def clock_run(script: Any) -> Json:
    """What the clock shows after each reading and each relay's word."""
    held = EpochClock(corrects=True)
    shown = []
    for name, relay, seconds in script:
        if name == "read":
            held.read(seconds)
        else:
            held.sample(PeerKey(bytes.fromhex(relay)), seconds)
        offsets = [held.measured_offset_seconds, held.correction_seconds]
        shown.append([*offsets, held.wall(100), held.directory_wall(100), held.monotonic(1_000)])
    return shown


def clock_script(random: Random) -> Json:
    """Readings now and then; more relays than are counted, some far off."""
    spread = random.choice((1, 10, 400, 5_000))
    return [
        ["read", "", random.choice((0.0, 1_700_000_000.25, random.uniform(0, 1e9)))]
        if random.random() < 0.1
        else ["sample", bytes([random.randrange(20)]).hex(), random.uniform(-spread, spread)]
        for _ in range(random.randint(1, 40))
    ]


# --- pulls -----------------------------------------------------------------------------------------


def pull_run(script: Any) -> Json:
    """What a subscriber's windows say after each step."""
    held = PullWindows()
    shown: list[Json] = []
    for name, seat_text, now in script:
        seat = NodeKey(bytes.fromhex(seat_text))
        said = _pull_step(held, name, seat, now)
        told = [one.hex() for one in held.take_unbelieved()]
        shown.append([said, held.in_flight(seat), held.has_room(seat, now), held.is_believed(seat), told])
    return shown


def _pull_step(held: PullWindows, name: str, seat: NodeKey, now: float) -> bool | None:
    match name:
        case "asked":
            held.asked(seat)
            held.is_blocked = held.is_blocked or not held.has_room(seat, now)
        case "last":
            return held.ask_at_last(seat)
        case "answered":
            return held.answered(seat)
        case "brought":
            held.brought(seat, now)
            return held.brought_since(seat, now - 1)
        case "pause":
            held.pause(seat, now + 2)
            return held.brought_since(seat, now - 3)
        case _:
            held.broke_word(seat)
    return None


def pull_script(random: Random) -> Json:
    """Two seats, of which one is asked for more than fits, or breaks its word until nobody believes it."""
    names = ["asked", "asked", "answered", "brought", "pause", "broke", "last"]
    name = random.choice(names)
    now, steps = 0.0, []
    for _ in range(random.randint(5, 200)):
        now += random.choice((0.0, 0.5, 1.0))
        name = name if random.random() < 0.9 else random.choice(names)
        steps.append([name, random.choice(("aa", "aa", "bb")) * 32, now])
    return steps


# --- the publisher ---------------------------------------------------------------------------------


class _Run:
    def __init__(self, script: Any) -> None:
        self.seeds = [bytes.fromhex(seed) for seed in script["seats"]]
        self.keys = [NodeKey(public_key_of(seed)) for seed in self.seeds]
        self.agenda = Agenda()
        self.tag = Tag(bytes.fromhex(script["tag"]))
        self.committee = self._committee(script["committee_size"])
        self.publisher = Publisher(self.tag, self.agenda, ClientCounters())
        self.dead: list[NodeKey] = []

    def _committee(self, size: int) -> Committee:
        ads = [
            Ad(key, Address(f"20.0.{index}.1", 9_000), bytes(32), Role.RELAY, 0, 0, None, bytes(64))
            for index, key in enumerate(self.keys)
        ]
        return order_relays(self.tag, ads, NetworkParameters("vectors", NetworkKind.LAN), size)

    def step(self, name: str, now: float, values: list[Any], out: Effects) -> Json:
        first: Any = values[0] if values else None
        second: Any = values[1] if len(values) > 1 else None
        publisher, committee = self.publisher, self.committee
        match name:
            case "publish":
                envelope = bytes([first["size_class"]]) * first["bytes"]
                outgoing = Outgoing(EnvelopeId(bytes.fromhex(first["id"])), envelope, None, now)
                publisher.publish(outgoing, self._entries(second), committee, now, out)
            case "entries":
                publisher.entries_changed(self._entries(first), self._entries(second), committee, now, out)
            case "dead":
                self.dead = self._entries(first)
            case "due":
                asked = publisher.due(self._entries(first), committee, self.is_dead, now, out)
                return [seat.hex() for seat in asked]
            case "direct":
                publisher.publish_directly(self.keys[first], committee, now, out)
                return [[seat.hex(), envelope_id.hex()] for seat, envelope_id in publisher.owing(now)]
            case "excuse":
                publisher.excuse(self.keys[first])
            case "receipt":
                found = publisher.receipt_received(self._receipt(first), committee, self.is_dead)
                return [_progress(one) for one in found]
            case "refused":
                publisher.refused(_ids(first), second, now)
            case "acknowledged":
                known = [one for one in publisher.pending() if one.envelope_id.hex() == first]
                progress = publisher.acknowledged(known[0], *second) if known else None
                return None if progress is None else _progress(progress)
            case "late":
                return [one.envelope_id.hex() for one in publisher.too_late(_ids(first))]
            case _:
                return [one.envelope_id.hex() for one in publisher.take_unsettled()]
        return None

    def is_dead(self, seat: NodeKey) -> bool:
        return seat in self.dead

    def _entries(self, some: Any) -> list[NodeKey]:
        return [self.keys[index] for index in some]

    def _receipt(self, given: Any) -> Receipt:
        seat, ids = given["seat"], tuple(_ids(given["ids"]))
        signature = sign_receipt(signing_key_of(self.seeds[seat]), self.tag, ids, self.keys[seat])
        return Receipt(self.tag, ids, self.keys[seat], bytes(64) if given["forged"] else signature)


def _ids(given: list[str]) -> list[EnvelopeId]:
    return [EnvelopeId(bytes.fromhex(one)) for one in given]


def _progress(one: Progress) -> Json:
    return [one.outgoing.envelope_id.hex(), one.receipts, one.of, one.majority_reached, one.complete]


def publisher_run(script: Any) -> Json:
    """What each call gives and sends, when it wants to be called again, how much is under way."""
    run = _Run(script)
    shown = []
    for name, now, *values in script["steps"]:
        out: Effects = []
        result: Json
        try:
            result = run.step(name, now, values, out)
        except PeerError as error:
            result = code_of(error)
        frames = [
            [[peer.hex() for peer in effect.peers], content_hash(FRAMES.encode(effect.frame)).hex()]
            for effect in out
            if isinstance(effect, SendFrame)
        ]
        timers: Effects = []
        run.agenda.arm(timers)
        due = run.agenda.take_due(now)
        at = [timer.at for timer in timers if isinstance(timer, SetTimer)]
        shown.append([result, frames, at, len(due), len(run.publisher)])
    return shown


def publisher_script(random: Random) -> Json:
    """A minute or two of publishing: seats come and go, receipts come twice, forged, from strangers, or never."""
    ids = [random.randbytes(16).hex() for _ in range(IDS)]
    now, steps = 10.0, []
    for _ in range(random.randint(5, 40)):
        now += random.choice((0.0, 0.0, 0.25, 0.5, 1.0, 4.0, 21.0))
        steps.append(_publisher_step(random, now, ids))
    return {
        "seats": [random.randbytes(32).hex() for _ in range(RELAYS)],
        "tag": random.randbytes(32).hex(),
        "committee_size": random.randint(3, 5),
        "steps": steps,
    }


def _publisher_step(random: Random, now: float, ids: list[str]) -> list[Json]:
    seats = random.sample(range(RELAYS), random.randrange(4))
    some = random.sample(ids, random.randint(1, 3))
    match random.choice(("publish", "publish", "receipt", "receipt", "receipt", "receipt", "due", "due", "other")):
        case "publish":
            size_class = random.randrange(3)
            return ["publish", now, {"id": some[0], "bytes": 40, "size_class": size_class}, seats]
        case "receipt":
            given = {"seat": random.randrange(RELAYS), "ids": some + some[:1], "forged": random.random() < 0.1}
            return ["receipt", now, given]
        case "due":
            return ["due", now, seats]
        case _:
            return random.choice(
                [
                    ["entries", now, seats[:1], seats],
                    ["dead", now, seats],
                    ["direct", now, random.randrange(RELAYS)],
                    ["direct", now, random.randrange(RELAYS)],
                    ["excuse", now, random.randrange(RELAYS)],
                    ["refused", now, some, random.choice((0.5, 3.0, 100.0))],
                    ["acknowledged", now, some[0], [random.randrange(4), random.randint(1, 5)]],
                    ["late", now, some],
                    ["unsettled", now],
                ]
            )


def was_receipted(answer: Json) -> bool:
    """Whether an envelope of the script was receipted or sent at all."""
    return any(step[1] for step in answer)
