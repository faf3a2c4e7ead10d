"""Relays that lie: a real relay's machine, and somebody between it and its links.

Owns: what each lie does to what comes in and goes out. Must not know: who is lied to, what is judged.

A liar has its node's real keys: whatever it signs as itself is well signed. It cannot sign for others.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from railgun.core.effects import Effect, Effects, SendFrame
from railgun.core.events import Event, FrameReceived
from railgun.core.relay import RelayMachine
from railgun.crypto.receipts import sign_receipt
from railgun.crypto.sealing import envelope_id
from railgun.crypto.signing import signing_key_of
from railgun.errors import MalformedInput
from railgun.types import EnvelopeId, PeerKey, Tag
from railgun.wire.envelope import parse_envelope
from railgun.wire.frames import Deliver, Digest, Frame, Publish, Receipt, SeatDown, SeatExchange, SeatPush

REMEMBERED_MAX: Final = 40
DELAY_SECONDS: Final = (0.4, 5.0)
DOWN_LIE_SECONDS: Final = 2.0
SIGNATURE_BYTES: Final = 64
BODIES: Final = (Deliver, SeatPush)


class LyingRelay:
    """Implements the simulator's `Machine` around a relay's."""

    def __init__(self, relay: RelayMachine, seed: bytes, lies: Collection[str], dice: random.Random) -> None:
        """``lies`` are names of `plan.LIES`; ``seed`` is of the node key, 32 bytes."""
        self.relay = relay
        self._signing_key = signing_key_of(seed)
        self._lies = frozenset(lies)
        self._dice = dice
        self._salt = dice.randbytes(4)
        self._held: list[tuple[float, SendFrame]] = []
        self._sent: list[SendFrame] = []
        self._down_at = 0.0

    @property
    def turn_due(self) -> bool:
        return self.relay.turn_due

    def state_sizes(self) -> dict[str, int]:
        return self.relay.state_sizes()

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """As the relay, but for the lies."""
        out: Effects = []
        if type(event) is FrameReceived and self._swallows(event.peer, event.frame, out):
            return out
        for effect in self.relay.handle(event, now):
            if type(effect) is SendFrame:
                self._send(effect, now, out)
            else:
                out.append(effect)
        if self._held:
            out += [effect for at, effect in self._held if at <= now]
            self._held = [(at, effect) for at, effect in self._held if at > now]
        if "replays" in self._lies and self._sent and self._dice.random() < 0.05:
            out.append(self._dice.choice(self._sent))
        if "equivocates" in self._lies:
            self._call_somebody_dead(now, out)
        return out

    # --- what comes in ------------------------------------------------------------------------

    def _swallows(self, peer: PeerKey, frame: Frame, out: Effects) -> bool:
        """Take an envelope and never keep it, so that no number of ours shows it; perhaps sign for it all the same."""
        if not isinstance(frame, (Publish, SeatPush)):
            return False
        try:
            parsed, item = parse_envelope(frame.envelope), envelope_id(frame.envelope)
        except MalformedInput:
            return False  # another liar's work
        if "forges" in self._lies and isinstance(frame, Publish):
            self._sign_for_others(peer, parsed.tag, item, out)
        hides = "hides" in self._lies and _is_hidden(item)
        if not hides and not ("drops" in self._lies and self._picks(item)):
            return False
        if {"forges", "hides"} & self._lies and parsed.tag in self.relay.seats:
            signature = sign_receipt(self._signing_key, parsed.tag, (item,), self.relay.node_key)
            out.append(SendFrame((peer,), Receipt(parsed.tag, (item,), self.relay.node_key, signature)))
        return True

    def _sign_for_others(self, peer: PeerKey, tag: Tag, item: EnvelopeId, out: Effects) -> None:
        seat = self.relay.seats.get(tag)
        for other in () if seat is None else seat.seat_keys:
            if other != self.relay.node_key:
                signature = sign_receipt(self._signing_key, tag, (item,), other)
                out.append(SendFrame((peer,), Receipt(tag, (item,), other, signature)))

    def _picks(self, item: EnvelopeId) -> bool:
        """Half of all envelopes, always the same, and another half than most other liars'."""
        return (item[self._salt[0] % len(item)] ^ self._salt[1]) & 1 == 0

    # --- what goes out ------------------------------------------------------------------------

    def _send(self, effect: SendFrame, now: float, out: Effects) -> None:
        for item in self._tell_some_another_thing(effect) if "equivocates" in self._lies else [effect]:
            self._pass_on(item, now, out)

    def _pass_on(self, effect: SendFrame, now: float, out: Effects) -> None:
        frame = effect.frame
        if isinstance(frame, BODIES) and "corrupts" in self._lies and self._dice.random() < 0.3:
            data = bytearray(frame.envelope)
            data[self._dice.randrange(len(data))] ^= 1 + self._dice.randrange(255)
            effect = SendFrame(effect.peers, replace(frame, envelope=bytes(data)))
        if "replays" in self._lies and isinstance(frame, (*BODIES, Receipt, Digest, SeatExchange)):
            self._sent = [*self._sent[1 - REMEMBERED_MAX :], effect]
        if "delays" in self._lies and isinstance(frame, (*BODIES, Receipt)) and self._dice.random() < 0.3:
            self._held.append((now + self._dice.uniform(*DELAY_SECONDS), effect))
            return
        out.append(effect)

    def _tell_some_another_thing(self, effect: SendFrame) -> list[SendFrame]:
        """Half of the peers hear of envelopes that do not exist, in place of half of those that do."""
        if not isinstance(effect.frame, (Digest, SeatExchange, Deliver)):
            return [effect]
        fooled = tuple(peer for peer in effect.peers if (peer[0] ^ self._salt[2]) & 1)
        others = tuple(peer for peer in effect.peers if peer not in fooled)
        shown = [SendFrame(others, effect.frame)] if others else []
        if fooled and isinstance(effect.frame, (Digest, SeatExchange)):
            ids = tuple(self._another(item) for item in effect.frame.ids)
            shown.append(SendFrame(fooled, replace(effect.frame, ids=ids)))
        elif fooled and isinstance(effect.frame, Deliver) and not self._picks(envelope_id(effect.frame.envelope)):
            shown.append(SendFrame(fooled, effect.frame))
        return shown

    def _another(self, item: EnvelopeId) -> EnvelopeId:
        return EnvelopeId(bytes(255 - byte for byte in item)) if self._picks(item) else item

    def _call_somebody_dead(self, now: float, out: Effects) -> None:
        if now < self._down_at:
            return
        self._down_at = now + DOWN_LIE_SECONDS
        for tag, seat in self.relay.seats.items():
            others = [key for key in seat.seat_keys if key != self.relay.node_key]
            if others and seat.subscribers.peers:
                out.append(SendFrame(seat.subscribers.peers, SeatDown(tag, self._dice.choice(others), True)))


def _is_hidden(item: EnvelopeId) -> bool:
    """Whoever hides envelopes hides the same half as all others who do: together they can."""
    return item[-1] & 1 == 0
