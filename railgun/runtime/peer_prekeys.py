"""A member's prekeys while it is online: made anew each week, told to every room, old secrets ended.

Owns: the rhythm, and the order of keeping before telling. Must not know: how rooms seal with them.
"""

from __future__ import annotations

import asyncio

from railgun.core.effects import Persist
from railgun.core.joining import JoiningRoom
from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome
from railgun.limits import CLOCK_CORRECTION_MAX_SECONDS
from railgun.runtime.peer_state import PeerState
from railgun.runtime.prekeys import (
    OwnPrekey,
    account_write,
    new_prekey_at,
    next_drop_at,
    prekeys_write,
    with_new_prekey,
    without_old_prekeys,
)

PREKEY_CHECK_SECONDS = 600.0
SECRET_BYTES = 32


class PrekeyKeeper:
    """See the module; made by `Peer`."""

    def __init__(self, state: PeerState) -> None:
        self._state = state

    def rotate(self) -> None:
        """Make a new prekey now and tell every room. Raises UsageError, StoreError."""
        state = self._state
        state.check_usable()
        secret = state.entropy.random_bytes(SECRET_BYTES)
        prekeys = with_new_prekey(state.identity.prekeys, secret, state.wall())
        account = state.tools.sessions.olm_new_fallback(state.identity.account, state.identity.pickle_key)
        self.use(prekeys, account.pickle)

    def use(self, prekeys: tuple[OwnPrekey, ...], account: bytes | None = None) -> None:
        """Go on with these prekeys, and tell every room. ``account``: the pickled Olm account, if it has changed."""
        state = self._state
        account = state.identity.account if account is None else account
        # Kept before anyone is told of it: what they seal from then on must open, whatever happens to this process.
        state.driver.act(lambda _: (None, [Persist((prekeys_write(prekeys), account_write(account)))]))
        state.use_identity(prekeys=prekeys, account=account)
        for room in list(state.machine.rooms.values()):
            if isinstance(room, MemberRoom | JoiningRoom):
                room.use_tools(state.tools)
                state.apply(room, RoomOutcome())

    async def run(self) -> None:
        """A new prekey every week, and the end of old ones' secrets; only while relays say that our clock is right."""
        state = self._state
        while state.closing is None:
            prekeys, wall = state.identity.prekeys, state.wall()
            offset = state.machine.clock.measured_offset_seconds
            is_sane = bool(state.machine.connector.relays) and abs(offset or 0.0) < CLOCK_CORRECTION_MAX_SECONDS
            # A profile from before there were fallback keys gets one at once.
            if is_sane and (wall >= new_prekey_at(prekeys) or state.tools.prekey is None):
                self.rotate()
            elif is_sane and wall >= next_drop_at(prekeys):
                self.use(without_old_prekeys(prekeys, wall))
            await asyncio.sleep(PREKEY_CHECK_SECONDS)
