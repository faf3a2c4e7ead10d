"""All tags of one client: opened, handed over and closed by the clock.

Owns: which epochs of which room are open, the jitter of warm-ups, the order of a tag's phases.
Must not know: what rooms or tags do inside.
"""

from __future__ import annotations

from dataclasses import dataclass

from railgun.core.agenda import DeadlineName
from railgun.core.clock import EpochClock
from railgun.core.effects import Effects, Notify, Persist
from railgun.core.epochs import EpochWindow
from railgun.core.node_directory import NodeDirectory
from railgun.core.notifications import CommitteeJoined, EpochOpened, NoCommittee
from railgun.core.publisher import Outgoing
from railgun.core.room_port import Room, TagPlan, TagPurpose
from railgun.core.seen_envelopes import SeenEnvelopes, forgotten_write, seen_write
from railgun.core.tag_client import ClientContext, TagClient
from railgun.crypto.epoch import epoch_start
from railgun.crypto.receipts import sign_tag_descriptor
from railgun.limits import SEEN_KEPT_IDS_MAX
from railgun.network import NetworkParameters
from railgun.ports import Chooser, Entropy
from railgun.types import Handle, PeerKey, RoomId, Tag
from railgun.wire.frames import Subscribed

HANDLE_BYTES = 16
SEEN_KEPT_SECONDS = 60.0
"""How often it is kept which envelopes came; a member that dies takes in those of the last such time again."""
SEEN_SLACK_SECONDS = 2.0
TAG_WORDS = frozenset({"settle", "gap", "unseen", "hidden", "promises", "publish", "audit", "visit-end"})
"""First words of deadlines that concern one tag: (word, tag) or (word, tag, seat)."""


@dataclass(slots=True)
class _Open:
    client: TagClient
    room_id: RoomId
    plan: TagPlan
    told_joined: bool = False
    told_stranded: bool = False
    kept_ids: int = 0
    """How many ids its intake knew when they were kept last."""


class TagSet:
    """Opens and closes `TagClient`s."""

    def __init__(
        self,
        context: ClientContext,
        network: NetworkParameters,
        directory: NodeDirectory,
        clock: EpochClock,
        entropy: Entropy,
        chooser: Chooser,
        seen: SeenEnvelopes,
    ) -> None:
        self._context = context
        self._network = network
        self._directory = directory
        self._clock = clock
        self._entropy = entropy
        self._warm_up_share = 0.5 * chooser.random()
        """This client's place within the first half of every overlap, so that members do not all come at once."""
        self._open: dict[Tag, _Open] = {}
        self._opened_epochs: dict[RoomId, int] = {}
        self._orphans: list[tuple[RoomId, Outgoing]] = []
        self._seen = seen

    def __len__(self) -> int:
        return len(self._open)

    def get(self, tag: Tag | None) -> TagClient | None:
        entry = None if tag is None else self._open.get(tag)
        return None if entry is None else entry.client

    def room_of(self, client: TagClient) -> RoomId:
        return self._open[client.tag].room_id

    def plan_of(self, client: TagClient) -> TagPlan:
        return self._open[client.tag].plan

    def of_rooms(self) -> list[tuple[RoomId, TagClient]]:
        """The tags of members that do not end at once, with their rooms; lobbies are left out."""
        return [
            (entry.room_id, entry.client)
            for entry in self._open.values()
            if entry.plan.purpose is TagPurpose.ROOM and not entry.client.is_closing
        ]

    def of_room(self, room_id: RoomId) -> list[TagClient]:
        return [entry.client for entry in self._open.values() if entry.room_id == room_id]

    # --- planning -----------------------------------------------------------------------------

    def plan(self, room: Room, now: float, out: Effects) -> None:
        """Open what should be open, close what the room no longer names, and plan the next look."""
        wall = self._clock.wall(now)
        length, overlap = self._network.epoch_seconds, self._network.overlap_seconds
        start = epoch_start(wall, room.room_id, length)
        starts = [start]
        warm_up_at = start + length - overlap * (1.0 - self._warm_up_share)
        if wall >= warm_up_at:
            starts.append(start + length)
        if wall < start + 1.5 * overlap:
            starts.insert(0, start - length)
        wanted: set[Tag] = set()
        for epoch in starts:
            for plan in room.tag_plans(epoch, wall):
                wanted.add(plan.keys.tag)
                if plan.keys.tag not in self._open:
                    self._open_tag(room, plan, now, wall, out)
        for tag, entry in list(self._open.items()):
            if entry.room_id == room.room_id and entry.plan.keys.start in starts and tag not in wanted:
                self._close(tag, out)
        self._tell_epoch(room, start, wall, out)
        stale = self._seen.take_stale(start - 2 * length)
        if stale:
            out.append(Persist(tuple(stale), survives_power_loss=False))
        next_wall = min(at for at in (start + length, warm_up_at) if at > wall)
        self._context.agenda.set(("plan", room.room_id), self._clock.monotonic(next_wall) + 0.001)

    def _open_tag(self, room: Room, plan: TagPlan, now: float, wall: float, out: Effects) -> None:
        keys = plan.keys
        window = EpochWindow.of(keys.start, self._network)
        descriptor = sign_tag_descriptor(keys, plan.committee_size, plan.gate)
        committee = self._directory.committee(keys.tag, keys.start, plan.committee_size, wall)
        handle = Handle(self._entropy.random_bytes(HANDLE_BYTES))
        client = TagClient(self._context, keys, descriptor, committee, window, handle)
        entry = self._open[keys.tag] = _Open(client, room.room_id, plan)
        if plan.purpose is TagPurpose.ROOM:
            # In a lobby what came may wait in memory for its turn; it is to come again.
            client.intake.remember(self._seen.take(room.room_id, keys), now)
            entry.kept_ids = client.intake.seen_count
            self._context.agenda.set(("seen", keys.tag), now + SEEN_KEPT_SECONDS, SEEN_SLACK_SECONDS)
        self._plan_end(client, now)
        client.settle(now, out)
        self._tell_stranded(entry, now, out)

    def _plan_end(self, client: TagClient, now: float) -> None:
        wall = self._clock.wall(now)
        self._context.agenda.set(("reseal", client.tag), now + client.window.reseal_at - wall)
        self._context.agenda.set(("last", client.tag), now + client.window.stay_until - wall)

    def clock_moved(self, now: float) -> None:
        """The corrected clock jumped: the open tags' ends are due at other moments."""
        for entry in self._open.values():
            if not entry.client.is_closing:
                self._plan_end(entry.client, now)

    def _tell_stranded(self, entry: _Open, now: float, out: Effects) -> None:
        """Say so, once, when no relay is left to turn to."""
        if entry.client.is_stranded(now):
            if not entry.told_stranded:
                entry.told_stranded = True
                start = entry.client.keys.start
                out.append(Notify(NoCommittee(entry.room_id, start, self._directory.relays_known)))
        else:
            entry.told_stranded = False

    def _tell_epoch(self, room: Room, start: int, wall: float, out: Effects) -> None:
        if self._opened_epochs.get(room.room_id) == start:
            return
        self._opened_epochs[room.room_id] = start
        keys = room.sending_keys(wall)
        entry = None if keys is None else self._open.get(keys.tag)
        if entry is not None:
            out.append(Notify(EpochOpened(room.room_id, start, entry.client.committee.seat_keys)))

    def close_room(self, room_id: RoomId, out: Effects) -> None:
        self._opened_epochs.pop(room_id, None)
        for tag, entry in list(self._open.items()):
            if entry.room_id == room_id:
                self._close(tag, out)

    def _close(self, tag: Tag, out: Effects) -> None:
        entry = self._open.pop(tag, None)
        if entry is not None:
            unsettled = entry.client.publisher.take_unsettled()
            self._orphans += [(entry.room_id, outgoing) for outgoing in unsettled]
            entry.client.close(out)
            for word in ("reseal", "last", "close", "seen"):
                self._context.agenda.cancel((word, tag))
            if entry.kept_ids:
                out.append(Persist((forgotten_write(entry.room_id, entry.plan.keys),), survives_power_loss=False))

    def _keep_seen(self, entry: _Open, now: float, out: Effects) -> None:
        """Keep what the tag has brought so far."""
        intake = entry.client.intake
        if intake.seen_count != entry.kept_ids:
            entry.kept_ids = intake.seen_count
            write = seen_write(entry.room_id, entry.plan.keys, intake.newest_seen(SEEN_KEPT_IDS_MAX))
            out.append(Persist((write,), survives_power_loss=False))
        self._context.agenda.set(("seen", entry.client.tag), now + SEEN_KEPT_SECONDS, SEEN_SLACK_SECONDS)

    # --- events -------------------------------------------------------------------------------

    def subscribed(self, client: TagClient, peer: PeerKey, frame: Subscribed, now: float, out: Effects) -> None:
        client.subscribed(peer, frame, now, out)
        entry = self._open[client.tag]
        attached = client.attached
        if not entry.told_joined and len(attached) >= min(2, client.committee.n):
            entry.told_joined = True
            if entry.plan.purpose is TagPurpose.ROOM:
                out.append(Notify(CommitteeJoined(entry.room_id, client.tag, client.keys.start, tuple(attached))))

    def peer_connected(self, peer: PeerKey, now: float, out: Effects) -> None:
        for entry in list(self._open.values()):
            entry.client.peer_connected(peer, now, out)

    def peer_gone(self, peer: PeerKey, now: float, out: Effects) -> None:
        for entry in list(self._open.values()):
            entry.client.peer_gone(peer, now, out)
            self._tell_stranded(entry, now, out)

    def peer_doubted(self, peer: PeerKey, now: float, out: Effects) -> None:
        for entry in self._open.values():
            entry.client.peer_doubted(peer, now, out)

    def directory_changed(self, now: float, out: Effects) -> None:
        wall = self._clock.wall(now)
        for entry in list(self._open.values()):
            keys, plan = entry.plan.keys, entry.plan
            committee = self._directory.committee(keys.tag, keys.start, plan.committee_size, wall)
            entry.client.committee_changed(committee, now, out)

    def standings_changed(self, now: float, out: Effects) -> None:
        """Some relays are to be preferred to others than before."""
        for entry in list(self._open.values()):
            if not entry.client.is_closing:
                entry.client.settle(now, out)

    def take_unsettled(self, tag: Tag) -> list[tuple[RoomId, Outgoing]]:
        """The envelopes of an ending epoch that lack a majority, with their room."""
        entry = self._open.get(tag)
        if entry is None:
            return []
        return [(entry.room_id, outgoing) for outgoing in entry.client.publisher.take_unsettled()]

    def take_orphans(self) -> list[tuple[RoomId, Outgoing]]:
        """What the tags that have closed left without a majority, with their room."""
        orphans, self._orphans = self._orphans, []
        return orphans

    def due_in_tag(self, name: DeadlineName, now: float, out: Effects) -> None:
        """A deadline that a tag has set: its first word is one of TAG_WORDS."""
        entry = self._open.get(name[1])
        if entry is not None:
            entry.client.due(name[0], name[2] if len(name) == 3 else None, now, out)

    def due(self, name: DeadlineName, now: float, out: Effects) -> bool:
        """A deadline of the agenda, but for TAG_WORDS. False when it is none of a tag's."""
        agenda = self._context.agenda
        match name:
            case ("last", tag):
                entry = self._open.get(tag)
                if entry is not None:
                    agenda.set(("close", tag), entry.client.last_digests(now, out))
            case ("close", tag):
                self._close(tag, out)
            case ("seen", tag):
                entry = self._open.get(tag)
                if entry is not None:
                    self._keep_seen(entry, now, out)
            case _:
                return False
        return True
