"""Which tags a member opens in an epoch, and which it sends under.

Owns: putting a roster's settings, generations and live invites together; a room's cover.
Must not know: how tags are opened, clocks.
Spec: docs/spec/rooms.md, "Which keys when".
"""

from __future__ import annotations

from railgun.core.generations import Generations
from railgun.core.lobby import Joiner, lobby_keys
from railgun.core.room_port import CoverPlan, TagPlan, TagPurpose
from railgun.core.roster_state import GenerationState, RosterState
from railgun.crypto.epoch import EpochKeys, day_of, epoch_start
from railgun.limits import LOBBY_COMMITTEE
from railgun.types import DeviceKey
from railgun.wire.roster import Cover

LOBBY_GATE = 0


def member_plans(state: RosterState, generations: Generations, start: int, wall: float) -> list[TagPlan]:
    """The tags of the epoch that starts at ``start`` (Unix seconds): one a live generation, under the settings of that
    epoch's day, then one a live invite. An expired or revoked invite has none, a spent one only for a while."""
    settings = state.settings_on(day_of(start))
    rooms = [
        TagPlan(keys, settings.committee_size, settings.gate, TagPurpose.ROOM)
        for keys in generations.listening(state, start)
    ]
    lobbies = [
        TagPlan(lobby_keys(invite, start), LOBBY_COMMITTEE, LOBBY_GATE, TagPurpose.LOBBY)
        for invite in state.lobbies(wall)
    ]
    return rooms + lobbies


def joiner_plans(joiner: Joiner, start: int) -> list[TagPlan]:
    """The one tag that a joiner opens."""
    return [TagPlan(joiner.keys(start), LOBBY_COMMITTEE, LOBBY_GATE, TagPurpose.LOBBY)]


def cover_plan(state: RosterState, device: DeviceKey, start: int) -> CoverPlan | None:
    """The cover of ``device`` in the epoch that starts at ``start``, under the settings of that epoch's day.

    A device that has left goes on in strict rooms until its owner takes the room away: its last word waits for a tick.
    """
    plan = CoverPlan(state.settings_on(day_of(start)).cover, len(state.devices))
    if state.member(device) is not None:
        return plan
    return plan if plan.mode is Cover.STRICT and device in state.left else None


def sending_keys(
    state: RosterState, generations: Generations, epoch_seconds: int, wall: float
) -> tuple[GenerationState, EpochKeys] | None:
    """Under what to send at ``wall``: the generation and its keys for the open epoch; None where sends must wait."""
    start = epoch_start(wall, state.room, epoch_seconds)
    generation = generations.sending_generation(state, start)
    keys = None if generation is None else generations.keys(generation, start)
    return None if generation is None or keys is None else (generation, keys)
