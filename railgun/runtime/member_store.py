"""What a member's profile keeps besides its rooms' own rows, and how rooms are read back.

Owns: the rows for network and remembered relays; loading rooms from their rows. Must not know: links, the application.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from railgun.core.conversation import Conversation
from railgun.core.generations import Generations, OwnDevice
from railgun.core.joining import JoiningRoom
from railgun.core.reputation import KEY_PREFIX, Reputation
from railgun.core.reputation import TABLE as REPUTATION_TABLE
from railgun.core.room import MemberRoom, RoomTools
from railgun.core.room_files import FILES, INCOMING_KEY, OUTGOING_KEY
from railgun.core.room_rows import RoomStatus, read_room_row
from railgun.core.roster import Roster
from railgun.core.seen_envelopes import TABLE as SEEN_TABLE
from railgun.core.seen_envelopes import SeenEnvelopes
from railgun.crypto.network_ids import network_content, read_network
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import ConfigurationError, MalformedInput, RailGunError, StoreError
from railgun.limits import DEVICE_NAME_BYTES_MAX, FILE_BYTES_DEFAULT_MAX
from railgun.network import NetworkParameters
from railgun.ports import Entropy, MessageArchive, Store, Write
from railgun.runtime.identity import MemberIdentity
from railgun.runtime.prekeys import prekey_record
from railgun.storage.message_log import MessageLog
from railgun.types import MessageId, RoomId
from railgun.wire.invites import parse_invite

NETWORK_KEY = b"network"
ROOM_TABLES = (
    "files",
    "rooms",
    "roster_entries",
    "generations",
    "outbound_sessions",
    "inbound_sessions",
    "seen_indexes",
    "seen_envelopes",
    "outbox",
    "send_keys",
    "messages",
    "invites",
    "room_contacts",
)
"""Every table whose keys start with a room's id."""


@dataclass(frozen=True, slots=True)
class LoadedRooms:
    """Rooms as they were when the process ended. ``damaged`` names rooms whose rows could not be read, and why."""

    members: tuple[MemberRoom, ...]
    joining: tuple[JoiningRoom, ...]
    damaged: tuple[tuple[RoomId, str], ...]


def load_seen(store: Store) -> SeenEnvelopes:
    """Which envelopes the last run of this member had dealt with."""
    return SeenEnvelopes(store.load(SEEN_TABLE))


def load_reputation(store: Store) -> Reputation:
    """What this profile holds against relays. Raises StoreError where that is damaged."""
    try:
        return Reputation(store.load(REPUTATION_TABLE, KEY_PREFIX))
    except ValueError as error:
        raise StoreError(f"{error}; restore the profile from a backup") from error


def load_network(store: Store) -> NetworkParameters | None:
    """The network that this profile belongs to, if it has been told one."""
    content = store.get("settings", NETWORK_KEY)
    if content is None:
        return None
    try:
        return read_network(content)
    except (MalformedInput, ConfigurationError) as error:
        raise StoreError("the profile's network is damaged; name it again with --network FILE") from error


def network_write(network: NetworkParameters) -> Write:
    """Keep the network."""
    return Write("settings", NETWORK_KEY, network_content(network))


class StoredMessages:
    """Implements `railgun.ports.MessageArchive` over a profile's store."""

    def __init__(self, log: MessageLog) -> None:
        self._log = log

    def find(self, room_id: RoomId, message_id: MessageId) -> bytes | None:
        """See `MessageArchive`."""
        found = self._log.find(room_id, message_id)
        return None if found is None else found.value

    def newest(self, room_id: RoomId, count: int, before: MessageId | None = None) -> Sequence[MessageId]:
        """See `MessageArchive`."""
        return self._log.newest_ids(room_id, count, before)


def room_tools(
    identity: MemberIdentity,
    network: NetworkParameters,
    entropy: Entropy,
    file_bytes_max: int = FILE_BYTES_DEFAULT_MAX,
    archive: MessageArchive | None = None,
) -> RoomTools:
    """What all rooms of this device share, as of its newest prekey."""
    sessions, device, seed = VodozemacSessions(), identity.device_key, identity.device_seed
    account = sessions.olm_account(identity.account, identity.pickle_key)
    secrets = tuple(prekey.secret for prekey in identity.prekeys)
    return RoomTools(
        me=OwnDevice(device, seed, secrets, account.pickle, identity.prekeys[0].issued),
        network=network,
        sessions=sessions,
        entropy=entropy,
        pickle_key=identity.pickle_key,
        prekey=prekey_record(identity.prekeys, device, seed, account.fallback_key, sessions),
        file_bytes_max=file_bytes_max,
        name=identity.name.encode()[:DEVICE_NAME_BYTES_MAX].decode(errors="ignore"),
        archive=archive,
    )


def load_rooms(store: Store, tools: RoomTools, certificate: bytes, now: float) -> LoadedRooms:
    """Every room of the profile that has not been left."""
    members: list[MemberRoom] = []
    joining: list[JoiningRoom] = []
    damaged: list[tuple[RoomId, str]] = []
    for key, value in store.load("rooms"):
        room_id = RoomId(key)
        try:
            row = read_room_row(value)
            if row.status is RoomStatus.JOINING:
                joining.append(JoiningRoom(tools, parse_invite(row.invite), certificate))
            elif row.status is RoomStatus.MEMBER:
                members.append(load_member(store, tools, room_id, now))
        except RailGunError as error:
            damaged.append((room_id, str(error)))
    return LoadedRooms(tuple(members), tuple(joining), tuple(damaged))


def load_member(store: Store, tools: RoomTools, room_id: RoomId, now: float) -> MemberRoom:
    """One room that this device is in. Raises StoreError, MalformedInput where its rows are damaged."""
    roster = Roster.load(room_id, store.load("roster_entries", room_id))
    if not roster.is_known:
        raise StoreError("the room's first entry is gone: restore the profile from a backup")
    generations = Generations.load(room_id, store.load("generations", room_id))
    conversation = Conversation(room_id, tools.me, tools.sessions, tools.pickle_key)
    conversation.load(
        store.load("outbound_sessions", room_id),
        store.load("inbound_sessions", room_id),
        store.load("seen_indexes", room_id),
        store.load("outbox", room_id),
        now,
    )
    room = MemberRoom(tools, roster, generations, conversation)
    room.send_keys.load(store.load("send_keys", room_id))
    room.fragments.load(store.load("inbound_sessions", room_id))
    room.gaps.gaps.load(store.load("outbound_sessions", room_id), now)
    try:
        room.files.load(store.load(FILES, room_id + INCOMING_KEY), store.load(FILES, room_id + OUTGOING_KEY), now)
    except ValueError as error:
        raise StoreError("what is known of the room's files is damaged: restore the profile from a backup") from error
    return room


def forget_room_writes(store: Store, room_id: RoomId) -> list[Write]:
    """Erase all that is kept of a room."""
    return [Write(table, key, None) for table in ROOM_TABLES for key in _keys(store, table, room_id)]


def _keys(store: Store, table: str, room_id: RoomId) -> Iterable[bytes]:
    if table == FILES:
        return store.keys(table, room_id)
    return [key for key, _ in store.load(table, room_id)]
