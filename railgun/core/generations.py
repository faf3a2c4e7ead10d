"""A room's secrets: generations, their day chains, who gets them and which one to send under.

Owns: what is held of each generation and when it is erased, the sender's choice, deliveries, requests and answers.
Must not know: epochs' lengths, committees, Megolm, how bodies travel. Spec: docs/spec/rooms.md, "Generations".

Secret S exists here only between `make` and `deliver`, or within `take_delivery`; what is held is one day's secret a
generation, the oldest that may still be caught up on. Every earlier day is gone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from railgun.core.persistence import Write
from railgun.core.room_port import SealRequest
from railgun.core.roster_state import GenerationState, RosterState
from railgun.core.sealed_bodies import packed, seal_request
from railgun.crypto.epoch import (
    SECRET_BYTES,
    EpochKeys,
    day_of,
    derive_epoch_keys,
    first_day_secret,
    generation_commitment,
    next_day_secret,
)
from railgun.crypto.hashing import u32
from railgun.crypto.signing import sign, verify
from railgun.errors import CryptoError, MalformedInput, PeerError, RefusalCode
from railgun.limits import (
    EPOCH_KEYS_DERIVED_MAX,
    GENERATION_LIVE_DAYS,
    GENERATION_TURN_SECONDS,
    GENERATIONS_LIVE_MAX,
    GENERATIONS_UNNAMED_MAX,
)
from railgun.ports import Entropy, Sessions
from railgun.types import DeviceKey, RoomId
from railgun.wire.roster import NO_HASH, NamedGeneration
from railgun.wire.schema import Codec
from railgun.wire.sealed import (
    DAY_SECRETS,
    DAYS_LABEL,
    GENERATION_LABEL,
    GENERATION_REQUEST_LABEL,
    DayDelivery,
    DaySecret,
    DaySecrets,
    GenerationDelivery,
    GenerationRequest,
    SealedSecret,
    context,
    generation_request_content,
)

TABLE = "generations"
_ROWS: Final[Codec[DaySecret]] = Codec({1: DaySecret}, bytes_max=256)
GenerationId = tuple[int, bytes]
"""(g, c)."""


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """Whose keys a machine uses.

    Attributes:
        seed: secret, 32 bytes: what the device signs with.
        prekey_secrets: secret, 32 bytes each: its X-Wing prekeys', newest first.
        account: pickle of its Olm account. Empty where nothing pairwise is to be said.
        issued: Unix second at which its newest bundle was made: older pairwise sessions are not used any more.
    """

    device: DeviceKey
    seed: bytes = field(repr=False)
    prekey_secrets: tuple[bytes, ...] = field(repr=False)
    account: bytes = field(default=b"", repr=False)
    issued: int = 0


@dataclass(frozen=True, slots=True)
class MadeGeneration:
    """A generation just made: what the roster entry names, the secret to deliver (then to drop), what to keep."""

    named: NamedGeneration
    secret: bytes = field(repr=False)
    writes: tuple[Write, ...] = ()


class Generations:
    """What one device holds of a room's secrets."""

    def __init__(self, room: RoomId) -> None:
        self._room = room
        self._held: dict[GenerationId, DaySecret] = {}
        self._derived: OrderedDict[tuple[GenerationId, int], EpochKeys] = OrderedDict()
        """Asked for again and again, and costly. As secret as what they follow from: `forget` erases them all."""

    def __repr__(self) -> str:
        return f"Generations({len(self._held)} held, <redacted>)"

    @staticmethod
    def load(room: RoomId, rows: Iterable[tuple[bytes, bytes]]) -> Generations:
        """Rebuild from the (key, value) rows of table ``generations`` whose keys start with the room's id.

        Raises:
            MalformedInput: a row is damaged.
        """
        generations = Generations(room)
        for _, value in rows:
            held = _ROWS.decode(value)
            generations._held[held.generation, held.commitment] = held
        return generations

    # --- holding -------------------------------------------------------------------------------

    def holds(self, generation: GenerationState) -> bool:
        return (generation.generation, generation.commitment) in self._held

    def keys(self, generation: GenerationState, start: int) -> EpochKeys | None:
        """Keys of the epoch that starts at ``start`` (Unix seconds), or None: not held, or that day's are erased."""
        return self.keys_of((generation.generation, generation.commitment), start)

    def keys_of(self, generation: GenerationId, start: int) -> EpochKeys | None:
        """The same by number and commitment."""
        held = self._held.get(generation)
        if held is None:
            return None
        derived = self._derived.get((generation, start))
        if derived is None:
            secret = _secret_on(held, day_of(start))
            if secret is None:
                return None
            derived = self._derived[generation, start] = derive_epoch_keys(secret, held.generation, start)
            if len(self._derived) > EPOCH_KEYS_DERIVED_MAX:
                self._derived.popitem(last=False)
        return derived

    def listening(self, state: RosterState, start: int) -> list[EpochKeys]:
        """Keys to listen with in the epoch that starts at ``start``: of all live generations, greatest first."""
        found = [self.keys(generation, start) for generation in live_generations(state, day_of(start))]
        return [keys for keys in found if keys is not None]

    def sending_generation(self, state: RosterState, start: int) -> GenerationState | None:
        """What to send under: the greatest g, then the smallest c, that we hold and that excludes all who were
        removed (and, if there is one, all who left or were revoked); None where there is none, and sends wait."""
        day = day_of(start)
        usable = [
            generation
            for generation in live_generations(state, day)
            if self.keys(generation, start) is not None and excludes(generation, state.removed)
        ]
        best = [generation for generation in usable if excludes(generation, (*state.left, *state.revoked))]
        return next(iter(best or usable), None)

    def newest_held(self, state: RosterState, start: int) -> GenerationState | None:
        """The first live generation that we hold, whoever it excludes: to spread roster entries under when nothing
        else may be sent."""
        live = live_generations(state, day_of(start))
        return next((generation for generation in live if self.keys(generation, start) is not None), None)

    def sending(self, state: RosterState, start: int) -> EpochKeys | None:
        """Keys to send with in the epoch that starts at ``start``; see `sending_generation`."""
        generation = self.sending_generation(state, start)
        return None if generation is None else self.keys(generation, start)

    def forget(self, state: RosterState, oldest_start: int) -> tuple[Write, ...]:
        """Erase what no epoch needs that starts at ``oldest_start`` (Unix seconds) or later.

        Called with the oldest epoch that may still be caught up on; idempotent.
        """
        day = day_of(oldest_start)
        self._derived.clear()
        named = {(generation.generation, generation.commitment) for generation in state.generations}
        writes: list[Write] = []
        for key, held in list(self._held.items()):
            if day >= held.first_day + GENERATION_LIVE_DAYS:
                writes += self._drop(key)
            elif held.day < day:
                secret = _secret_on(held, day)
                if secret is not None:
                    writes += self._hold(DaySecret(held.generation, held.commitment, held.first_day, day, secret))
        unnamed = [key for key in self._held if key not in named]
        for key in unnamed[: max(0, len(unnamed) - GENERATIONS_UNNAMED_MAX)]:
            writes += self._drop(key)
        return tuple(writes)

    def _hold(self, secret: DaySecret) -> tuple[Write, ...]:
        self._held[secret.generation, secret.commitment] = secret
        return (Write(TABLE, self._key(secret.generation, secret.commitment), _ROWS.encode(secret)),)

    def _drop(self, key: GenerationId) -> tuple[Write, ...]:
        del self._held[key]
        self._derived.clear()
        return (Write(TABLE, self._key(*key), None),)

    def _key(self, generation: int, commitment: bytes) -> bytes:
        return self._room + u32(generation) + commitment

    # --- making --------------------------------------------------------------------------------

    def adopt(self, made: MadeGeneration) -> tuple[Write, ...]:
        """Hold what `first_generation` made, now that the room has its id."""
        named = made.named
        first = first_day_secret(made.secret, named.generation, named.first_day)
        return self._hold(DaySecret(named.generation, named.commitment, named.first_day, named.first_day, first))

    def make(
        self, entropy: Entropy, state: RosterState, start: int, removing: Sequence[DeviceKey] = ()
    ) -> MadeGeneration:
        """The next generation, made in the epoch that starts at ``start``, without those in ``removing`` and all who
        are out already. Name it in an entry, `deliver` it, drop it."""
        base = state.generations[-1]
        gone = {*state.out} - set(base.excluded) - set(removing)
        secret = entropy.random_bytes(SECRET_BYTES)
        named = NamedGeneration(
            base.generation + 1,
            generation_commitment(secret),
            day_of(start),
            base.commitment,
            tuple(sorted(gone)),
        )
        made = MadeGeneration(named, secret)
        return MadeGeneration(named, secret, self.adopt(made))

    def turn_seconds(self, state: RosterState, device: DeviceKey, start: int) -> float | None:
        """How long after the need arose ``device`` makes a generation; None where none is needed, or not by it.

        One is needed where none that is live excludes all who are out, and on the last day of the newest that does.
        """
        admins = state.admins
        if device not in admins:
            return None
        day, out = day_of(start), state.out
        fit = [generation for generation in live_generations(state, day) if excludes(generation, out)]
        if fit and max(generation.first_day for generation in fit) + GENERATION_LIVE_DAYS - 1 > day:
            return None
        return admins.index(device) * GENERATION_TURN_SECONDS

    # --- delivering ----------------------------------------------------------------------------

    def deliver(
        self,
        made: MadeGeneration,
        me: OwnDevice,
        prekeys: Sequence[tuple[DeviceKey, bytes]],
        sessions: Sessions,
        keys: EpochKeys | None,
    ) -> list[SealRequest]:
        """S for each (device, X-Wing prekey), packed into as few envelopes as fit, under ``keys``: of a generation that
        the recipients hold already. Who misses it asks for it."""
        named = made.named
        items = []
        for recipient, prekey in prekeys:
            parts = (named.generation, named.commitment, named.first_day, recipient)
            sealed = sessions.hpke_seal(prekey, context(GENERATION_LABEL, self._room, me.device, *parts), made.secret)
            signature = sign(me.seed, GENERATION_LABEL, context(GENERATION_LABEL, self._room, *parts, sealed))
            items.append(SealedSecret(recipient, sealed, signature))
        return packed(
            items,
            lambda some: GenerationDelivery(me.device, named.generation, named.commitment, named.first_day, some),
            keys,
        )

    def take_delivery(
        self, body: GenerationDelivery, me: OwnDevice, state: RosterState, sessions: Sessions
    ) -> tuple[Write, ...]:
        """Take S, keep its first day's secret; no writes where it is not for us, or held already.

        Raises:
            PeerError: not by an admin, or forged.
            CryptoError: it does not open, or is not what it says.
        """
        item = next((item for item in body.items if item.recipient == me.device), None)
        if item is None or (body.generation, body.commitment) in self._held:
            return ()
        parts = (body.generation, body.commitment, body.first_day, me.device)
        content = context(GENERATION_LABEL, self._room, *parts, item.sealed)
        if body.author not in state.admins or not verify(body.author, GENERATION_LABEL, content, item.signature):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "generation delivery")
        secret = open_sealed(me, context(GENERATION_LABEL, self._room, body.author, *parts), item.sealed, sessions)
        if len(secret) != SECRET_BYTES or generation_commitment(secret) != body.commitment:
            raise CryptoError
        first = first_day_secret(secret, body.generation, body.first_day)
        return self._take(DaySecret(body.generation, body.commitment, body.first_day, body.first_day, first))

    def _take(self, secret: DaySecret) -> tuple[Write, ...]:
        if len(self._held) >= 4 * GENERATIONS_LIVE_MAX:
            raise PeerError(RefusalCode.QUOTA_EXCEEDED, "too many generations")
        return self._hold(secret)

    # --- asking and answering ------------------------------------------------------------------

    def missing(self, state: RosterState, start: int) -> tuple[GenerationState, ...]:
        """Live generations that the roster names and we lack."""
        return tuple(generation for generation in live_generations(state, day_of(start)) if not self.holds(generation))[
            :GENERATIONS_LIVE_MAX
        ]

    def request(self, missing: Sequence[GenerationState], me: OwnDevice) -> SealRequest:
        """Ask the room for generations."""
        commitments = tuple(generation.commitment for generation in missing)
        content = generation_request_content(self._room, me.device, commitments)
        return seal_request(GenerationRequest(me.device, commitments, sign(me.seed, GENERATION_REQUEST_LABEL, content)))

    def day_secrets(self, state: RosterState, start: int, only: Sequence[bytes] | None = None) -> tuple[DaySecret, ...]:
        """What any member may have: (g, c, d, D_d) of the open epoch's day, of each live generation that we hold."""
        day = day_of(start)
        found = []
        for generation in live_generations(state, day)[:GENERATIONS_LIVE_MAX]:
            held = self._held.get((generation.generation, generation.commitment))
            wanted = only is None or generation.commitment in only
            secret = None if held is None or not wanted else _secret_on(held, day)
            if held is not None and secret is not None:
                found.append(DaySecret(held.generation, held.commitment, held.first_day, day, secret))
        return tuple(found)

    def answer(
        self,
        body: GenerationRequest,
        me: OwnDevice,
        state: RosterState,
        start: int,
        prekey: bytes,
        sessions: Sessions,
        keys: EpochKeys,
    ) -> SealRequest | None:
        """Answer a member's request under its prekey (1,216 bytes) and the ``keys`` that it asked under; None where we
        have nothing for it.

        Raises:
            PeerError: not a member's, or forged.
        """
        content = generation_request_content(self._room, body.author, body.commitments)
        known = state.member(body.author) is not None
        if not known or not verify(body.author, GENERATION_REQUEST_LABEL, content, body.signature):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "generation request")
        secrets = self.day_secrets(state, start, body.commitments)
        if not secrets or body.author == me.device:
            return None
        plaintext = DAY_SECRETS.encode(DaySecrets(secrets))
        sealed = sessions.hpke_seal(prekey, context(DAYS_LABEL, self._room, me.device, body.author), plaintext)
        content = context(DAYS_LABEL, self._room, me.device, body.author, sealed)
        return seal_request(DayDelivery(me.device, body.author, sealed, sign(me.seed, DAYS_LABEL, content)), keys)

    def take_days(self, body: DayDelivery, me: OwnDevice, state: RosterState, sessions: Sessions) -> tuple[Write, ...]:
        """Take an answer to `request`; no writes where it is for another device or brings nothing new.

        Raises:
            PeerError: not a member's, or forged.
            CryptoError, MalformedInput: it does not open, or holds nonsense.
        """
        if body.recipient != me.device:
            return ()
        content = context(DAYS_LABEL, self._room, body.author, me.device, body.sealed)
        known = state.member(body.author) is not None
        if not known or not verify(body.author, DAYS_LABEL, content, body.signature):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "day delivery")
        plaintext = open_sealed(me, context(DAYS_LABEL, self._room, body.author, me.device), body.sealed, sessions)
        return self.take_secrets(DAY_SECRETS.decode(plaintext).secrets, state, body.author)

    def take_secrets(self, secrets: Iterable[DaySecret], state: RosterState, author: DeviceKey) -> tuple[Write, ...]:
        """Hold day secrets of generations that the roster names and we lack, but none from a device that the generation
        excludes: a day's secret cannot be checked against c, and that device would have to make one up.

        Raises:
            MalformedInput: a day outside its generation.
        """
        named = {(generation.generation, generation.commitment): generation for generation in state.generations}
        writes: list[Write] = []
        for secret in secrets:
            generation = named.get((secret.generation, secret.commitment))
            if generation is None or self.holds(generation) or author in generation.excluded:
                continue
            if not generation.first_day <= secret.day < generation.first_day + GENERATION_LIVE_DAYS:
                raise MalformedInput("a day outside its generation")
            writes += self._take(
                DaySecret(secret.generation, secret.commitment, generation.first_day, secret.day, secret.secret)
            )
        return tuple(writes)


def first_generation(entropy: Entropy, start: int) -> MadeGeneration:
    """The secret of a room to be, made in the epoch that starts at ``start``; its creation entry names it."""
    secret = entropy.random_bytes(SECRET_BYTES)
    return MadeGeneration(NamedGeneration(1, generation_commitment(secret), day_of(start), NO_HASH), secret)


def live_generations(state: RosterState, day: int) -> list[GenerationState]:
    """Generations that may be used on ``day``: greatest g first, then smallest c."""
    live = [
        generation
        for generation in state.generations
        if generation.first_day <= day < generation.first_day + GENERATION_LIVE_DAYS
    ]
    return sorted(live, key=lambda generation: (-generation.generation, generation.commitment))


def excludes(generation: GenerationState, devices: Iterable[DeviceKey]) -> bool:
    """Whether none of ``devices`` ever got the generation's secret."""
    return set(devices) <= set(generation.excluded)


def open_sealed(me: OwnDevice, info: bytes, sealed: bytes, sessions: Sessions) -> bytes:
    """Open with the newest prekey that fits. Raises CryptoError where none does."""
    for secret in me.prekey_secrets:
        try:
            return sessions.hpke_open(secret, info, sealed)
        except CryptoError:
            continue
    raise CryptoError


def _secret_on(held: DaySecret, day: int) -> bytes | None:
    """D_day; None before the day that is held, and after the generation's last."""
    if not held.day <= day < held.first_day + GENERATION_LIVE_DAYS:
        return None
    secret = held.secret
    for next_day in range(held.day + 1, day + 1):
        secret = next_day_secret(secret, held.generation, next_day)
    return secret
