"""Whom this person has verified, by comparing safety numbers.

Owns: reading and keeping the marks while the peer is online. Must not know: where numbers are shown.
Spec: docs/spec/identities.md.
"""

from __future__ import annotations

from railgun.core.effects import Persist
from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome
from railgun.core.verification import TABLE, Verification
from railgun.runtime.identity import checked_name, name_write
from railgun.runtime.peer_state import PeerState
from railgun.types import RootKey


class PeerPeople:
    """See the module; `Peer.people`."""

    def __init__(self, state: PeerState) -> None:
        self._state = state

    def _marks(self) -> Verification:
        # Read anew: a device that is linked becomes another person's, and marks are about two people.
        identity = self._state.identity
        return Verification(identity.root_key, identity.pickle_key, self._state.store.load(TABLE))

    @property
    def own_name(self) -> str:
        """How this device wants to be shown; empty where others see the start of its key."""
        return self._state.identity.name

    def set_own_name(self, name: str) -> None:
        """Be shown so from now on: every room is told, now or once it can be.

        Raises:
            UsageError: more than 64 characters, or some that cannot be shown.
            StoreError: the disk.
        """
        state = self._state
        state.check_usable()
        write = name_write(checked_name(name))
        state.driver.act(lambda _: (None, [Persist((write,))]))
        state.use_identity(name=name)
        for room in list(state.machine.rooms.values()):
            if isinstance(room, MemberRoom):
                room.use_tools(state.tools)
                state.apply(room, RoomOutcome())

    def safety_number(self, other: RootKey) -> str:
        """60 digits, the same at both people's devices: those who see the same have nobody between them."""
        return self._marks().number(other)

    def verified_at(self, other: RootKey) -> int | None:
        """When this person said on this device that the numbers agree, in Unix seconds; None: it has not."""
        return self._marks().verified_at(other)

    def verified(self, others: set[RootKey]) -> frozenset[RootKey]:
        """Those of ``others`` that were."""
        marks = self._marks()
        return frozenset(other for other in others if marks.verified_at(other) is not None)

    def mark(self, other: RootKey) -> None:
        """The numbers agree. Raises UsageError for one's own; StoreError."""
        self._state.check_usable()
        writes = self._marks().mark(other, self._state.wall())
        self._state.driver.act(lambda _: (None, [Persist(writes)]))

    def unmark(self, other: RootKey) -> None:
        """They do not, or nobody is sure any more. Idempotent. Raises UsageError, StoreError."""
        self._state.check_usable()
        writes = self._marks().unmark(other)
        self._state.driver.act(lambda _: (None, [Persist(writes)]))
