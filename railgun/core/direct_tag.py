"""One tag's envelopes among members that are linked directly.

Owns: who of them has which envelope, what is announced, pushed, pulled and asked again (spec: delivery, direct links).
Must not know: who is dialled and why, contacts, what envelopes hold.

Who makes an envelope pushes it to all; whoever gets one tells all, which acknowledges it to its maker and offers it to
the others. So everything reaches everyone over any path, and nothing is pushed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.effects import Effects, SendFrame
from railgun.core.held_envelopes import HeldEnvelopes
from railgun.core.tag_client import TagClient
from railgun.limits import (
    DIRECT_IDS_MAX,
    DIRECT_PEERS_MAX,
    DIRECT_PULL_TIMES_MAX,
    DIRECT_PULLS_AT_ONCE_MAX,
    DIRECT_WANTED_MAX,
    IDS_PER_FRAME_MAX,
)
from railgun.types import DeviceKey, EnvelopeId, PeerKey, SizeClass
from railgun.wire.frames import DirectHold, SeatPull, SeatPush

DIRECT_AGAIN_SECONDS = 2.0
"""Before what a linked member has not answered is said or asked again."""
DIRECT_PULL_DELAY_SECONDS = 0.15
"""Whoever made an envelope is mostly about to push it itself."""

MaySend = Callable[[PeerKey, int], bool]
"""Whether a peer may be sent so many bytes that it asked for."""


@dataclass(slots=True)
class _Wanted:
    """An id that members name and that has not come."""

    due_at: float
    sources: list[PeerKey]
    asks: int = 0


@dataclass(slots=True)
class _Open:
    """A member that has proved the room on its link."""

    device: DeviceKey
    asked_at: float
    needs_us: bool = True
    """Until it says that it has a committee again."""
    was_told_again: bool = False
    """What is here is told at the opening, which may overtake our proof, and is told once more for that."""
    wanted: dict[EnvelopeId, None] = field(default_factory=dict)


class DirectTag:
    """See the module."""

    def __init__(self, client: TagClient, agenda: Agenda, held: HeldEnvelopes) -> None:
        self.client = client
        self._tag = client.tag
        self._agenda = agenda
        self._held = held
        self.open: dict[PeerKey, _Open] = {}
        self._holders: dict[EnvelopeId, dict[DeviceKey, None]] = {}
        self._wanted: dict[EnvelopeId, _Wanted] = {}

    @property
    def devices(self) -> set[DeviceKey]:
        """The members that are linked; only to be counted."""
        return {peer.device for peer in self.open.values()}

    # --- who is there ---------------------------------------------------------------------------

    def opened(self, peer: PeerKey, device: DeviceKey, now: float, out: Effects) -> bool:
        """A member has proved the room: tell it what is here. False where there are too many.

        A device has one link: of two the newer, since whoever started again lost the older one.
        """
        for other, entry in list(self.open.items()):
            if entry.device == device and other != peer:
                self.gone(other)
        standing = self.open.get(peer)
        if standing is not None:
            standing.was_told_again = standing.was_told_again and standing.needs_us
            standing.needs_us = True
            return True
        if len(self.open) >= DIRECT_PEERS_MAX:
            return False
        self.open[peer] = _Open(device, now)
        own = [item.envelope_id for item in self.client.publisher.pending()]
        self._tell((peer,), list(dict.fromkeys([*self._held.ids(self._tag), *own])), True, out)
        return True

    def gone(self, peer: PeerKey) -> None:
        """The link is down, or serves another device. Idempotent."""
        entry = self.open.pop(peer, None)
        if entry is None:
            return
        for holders in self._holders.values():
            holders.pop(entry.device, None)
        for envelope_id in entry.wanted:
            wanted = self._wanted[envelope_id]
            wanted.sources.remove(peer)
            if not wanted.sources:
                del self._wanted[envelope_id]

    def acknowledged(self, envelope_id: EnvelopeId) -> int:
        """How many linked members have it."""
        return len(self._holders.get(envelope_id, ()))

    # --- envelopes that are here ----------------------------------------------------------------

    def published(self, envelope_id: EnvelopeId, envelope: bytes, out: Effects) -> None:
        """We made it: push it to all, or offer it where it is large."""
        peers = tuple(self.open)
        if not peers:
            return
        if SizeClass(envelope[1]) is SizeClass.LARGE:
            self._tell(peers, [envelope_id], True, out)
        else:
            out.append(SendFrame(peers, SeatPush(envelope)))

    def came(self, envelope_id: EnvelopeId, source: PeerKey | None, out: Effects) -> None:
        """It came from a member, or from a seat (None): tell all, whoever brought it among them."""
        self._forget_wanted(envelope_id)
        if source is not None:
            self._note(source, envelope_id)
        self._tell(tuple(self.open), [envelope_id], False, out)

    def came_again(self, envelope_id: EnvelopeId, source: PeerKey, out: Effects) -> None:
        """A member brought what was here: it does not know that."""
        self._note(source, envelope_id)
        self._tell((source,), [envelope_id], False, out)

    def ask_again(self, now: float, out: Effects) -> None:
        """Ask members about what we made and they have not acknowledged; tell each once more what is here."""
        pending = [item.envelope_id for item in self.client.publisher.pending()]
        for peer, entry in self.open.items():
            if now - entry.asked_at < DIRECT_AGAIN_SECONDS:
                continue
            entry.asked_at = now
            if not entry.was_told_again:
                entry.was_told_again = True
                self._tell((peer,), self._held.ids(self._tag), False, out)
            lacking = [item for item in pending if entry.device not in self._holders.get(item, ())]
            self._tell((peer,), lacking[:IDS_PER_FRAME_MAX], True, out)

    # --- what members say -----------------------------------------------------------------------

    def told(self, peer: PeerKey, frame: DirectHold, now: float, out: Effects) -> None:
        """A member names envelopes that it has: those that are lacking are pulled."""
        intake = self.client.intake
        known = []
        for envelope_id in frame.ids:
            self._note(peer, envelope_id)
            if intake.has_seen(envelope_id):
                known.append(envelope_id)
            else:
                self._want(peer, envelope_id, now if frame.asks else now + DIRECT_PULL_DELAY_SECONDS)
        if frame.asks:
            self._tell((peer,), known, False, out)
            self.pull(now, out)
        self._arm()

    def asked(self, peer: PeerKey, ids: Sequence[EnvelopeId], may_send: MaySend, out: Effects) -> None:
        """A member pulls envelopes; those that are no longer here it finds elsewhere, or not at all."""
        for envelope_id in dict.fromkeys(ids):
            envelope = self._held.get(self._tag, envelope_id) or self.client.publisher.envelope_of(envelope_id)
            if envelope is not None and may_send(peer, len(envelope)):
                out.append(SendFrame((peer,), SeatPush(envelope)))

    def pull(self, now: float, out: Effects) -> None:
        """Ask for what is due, each of the next member that names it."""
        by_peer: dict[PeerKey, list[EnvelopeId]] = {}
        for envelope_id, wanted in list(self._wanted.items()):
            if wanted.due_at > now + 1e-6:
                continue
            if wanted.asks >= DIRECT_PULL_TIMES_MAX:
                self._forget_wanted(envelope_id)
                continue
            chosen = by_peer.setdefault(wanted.sources[wanted.asks % len(wanted.sources)], [])
            if len(chosen) < DIRECT_PULLS_AT_ONCE_MAX:
                chosen.append(envelope_id)
                wanted.asks += 1
                wanted.due_at = now + DIRECT_AGAIN_SECONDS
            else:
                wanted.due_at = now + DIRECT_PULL_DELAY_SECONDS
        for peer, ids in by_peer.items():
            out.append(SendFrame((peer,), SeatPull(self._tag, tuple(ids))))
        self._arm()

    def close(self) -> None:
        """Forget everything. Idempotent."""
        self.open.clear()
        self._holders.clear()
        self._wanted.clear()
        self._agenda.cancel(("direct-pull", self._tag))

    # --- inside ---------------------------------------------------------------------------------

    def _tell(self, peers: Sequence[PeerKey], ids: Sequence[EnvelopeId], asks: bool, out: Effects) -> None:
        if peers:
            for first in range(0, len(ids), IDS_PER_FRAME_MAX):
                chunk = tuple(ids[first : first + IDS_PER_FRAME_MAX])
                out.append(SendFrame(tuple(peers), DirectHold(self._tag, chunk, asks)))

    def _note(self, peer: PeerKey, envelope_id: EnvelopeId) -> None:
        entry = self.open.get(peer)
        if entry is not None:
            self._holders.setdefault(envelope_id, {})[entry.device] = None
            if len(self._holders) > DIRECT_IDS_MAX:
                del self._holders[next(iter(self._holders))]

    def _want(self, peer: PeerKey, envelope_id: EnvelopeId, due_at: float) -> None:
        entry, wanted = self.open[peer], self._wanted.get(envelope_id)
        if envelope_id in entry.wanted:
            if wanted is not None and not wanted.asks:
                wanted.due_at = min(wanted.due_at, due_at)
            return
        # Each has its share, so that nobody's inventions keep out what others have.
        if len(entry.wanted) >= DIRECT_WANTED_MAX // DIRECT_PEERS_MAX * 8 or len(self._wanted) >= DIRECT_WANTED_MAX:
            return
        entry.wanted[envelope_id] = None
        if wanted is None:
            self._wanted[envelope_id] = _Wanted(due_at, [peer])
        else:
            wanted.sources.append(peer)

    def _forget_wanted(self, envelope_id: EnvelopeId) -> None:
        wanted = self._wanted.pop(envelope_id, None)
        for peer in () if wanted is None else wanted.sources:
            self.open[peer].wanted.pop(envelope_id, None)

    def _arm(self) -> None:
        if self._wanted:
            due_at = min(wanted.due_at for wanted in self._wanted.values())
            self._agenda.set_earlier(("direct-pull", self._tag), due_at)


def unsettled_of(tag: DirectTag) -> Iterable[EnvelopeId]:
    """What we made under the tag and nothing stands for yet."""
    return [item.envelope_id for item in tag.client.publisher.pending() if not item.settled]
