"""A member's identity: its root, its first device, and what they sign for each other.

Owns: making them, the rows that keep them, reading them back. Must not know: rooms, links.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from railgun.crypto.identity import RootIdentity, device_identity, issue_certificate, root_identity
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import MalformedInput, StoreError, UsageError
from railgun.ports import Clock, Entropy, Sessions, Store, Write
from railgun.runtime.prekeys import ACCOUNT_KEY, PREKEYS_KEY, TABLE, OwnPrekey, prekeys_write, read_prekeys
from railgun.runtime.profile import ProfileKind, create_profile
from railgun.types import DeviceKey, RootKey
from railgun.wire.certificates import CERTIFICATES, DeviceCertificate

SEED_BYTES = 32
CERTIFICATE_SECONDS = 10 * 365 * 86_400
"""A certificate ends by revocation; its expiry is a last resort against a root that was lost."""
NAME_CHARACTERS_MAX = 64

_ROOT, _DEVICE, _PREKEYS, _ACCOUNT, _CERTIFICATE, _NAME, _PICKLE = (
    b"root-seed",
    b"device-seed",
    PREKEYS_KEY,
    ACCOUNT_KEY,
    b"certificate",
    b"name",
    b"pickle-key",
)


@dataclass(frozen=True, slots=True)
class MemberIdentity:
    """One person's root and this device.

    Attributes:
        device_seed, pickle_key: secret, 32 bytes each; the latter encrypts sessions in what is kept.
        prekeys: with their secrets, newest first.
        account: pickle of the device's Olm account.
        certificate: the root's word for this device.
        name: how this person wants to be shown; empty for none.
    """

    certificate: DeviceCertificate
    name: str
    prekeys: tuple[OwnPrekey, ...]
    device_seed: bytes = field(repr=False)
    pickle_key: bytes = field(repr=False)
    account: bytes = field(repr=False)

    @property
    def device_key(self) -> DeviceKey:
        return self.certificate.device_key

    @property
    def root_key(self) -> RootKey:
        return self.certificate.root_key


def create_identity(entropy: Entropy, clock: Clock, sessions: Sessions, name: str = "") -> tuple[Write, ...]:
    """The rows of a new person with one device; give them to `create_profile` as its initial writes."""
    root_seed, device_seed = entropy.random_bytes(SEED_BYTES), entropy.random_bytes(SEED_BYTES)
    prekey_secret = entropy.random_bytes(SEED_BYTES)
    pickle_key = entropy.random_bytes(SEED_BYTES)
    account = sessions.olm_new_fallback(sessions.olm_account_new(pickle_key).pickle, pickle_key)
    device = device_identity(device_seed, prekey_secret, account, sessions)
    issued = int(clock.wall())
    certificate = issue_certificate(root_identity(root_seed), device, issued, issued + CERTIFICATE_SECONDS)
    return (
        Write(TABLE, _ROOT, root_seed),
        Write(TABLE, _DEVICE, device_seed),
        prekeys_write((OwnPrekey(prekey_secret, issued, 0),)),
        Write(TABLE, _ACCOUNT, account.pickle),
        Write(TABLE, _CERTIFICATE, CERTIFICATES.encode(certificate)),
        Write(TABLE, _NAME, name.encode()),
        Write(TABLE, _PICKLE, pickle_key),
    )


def checked_name(name: str) -> str:
    """``name`` as a person may be called; empty for none. Raises UsageError."""
    if len(name) > NAME_CHARACTERS_MAX or not (name.isprintable() or not name):
        raise UsageError(f"a name has at most {NAME_CHARACTERS_MAX} printable characters")
    return name


def name_write(name: str) -> Write:
    """Keep another name."""
    return Write(TABLE, _NAME, name.encode())


def create_member_profile(
    path: Path,
    entropy: Entropy,
    clock: Clock,
    *,
    name: str = "",
    passphrase: str | None = None,
    key_file: Path | None = None,
) -> None:
    """A new profile with a new person in it. Raises as `create_profile`; UsageError for a name too long."""
    writes = create_identity(entropy, clock, VodozemacSessions(), checked_name(name))
    create_profile(path, ProfileKind.MEMBER, entropy, passphrase=passphrase, key_file=key_file, initial_writes=writes)


def load_root(store: Store) -> RootIdentity | None:
    """The person's root, where this profile holds it: the one that made the person does, a linked one does not."""
    seed = store.get(TABLE, _ROOT)
    return None if seed is None else root_identity(seed)


def linked_writes(certificate: bytes) -> tuple[Write, ...]:
    """This device is the person's whose root signed ``certificate`` (encoded): its own root goes."""
    return (Write(TABLE, _CERTIFICATE, certificate), Write(TABLE, _ROOT, None))


def load_identity(store: Store) -> MemberIdentity:
    """What `create_identity` made. Raises StoreError where the profile holds no person."""
    rows = dict(store.load(TABLE))
    try:
        return MemberIdentity(
            certificate=CERTIFICATES.decode(rows[_CERTIFICATE]),
            name=rows[_NAME].decode(),
            device_seed=rows[_DEVICE],
            prekeys=read_prekeys(rows[_PREKEYS]),
            pickle_key=rows[_PICKLE],
            account=rows[_ACCOUNT],
        )
    except KeyError as error:
        raise StoreError("this profile holds no member; make one with `railgun init`") from error
    except (MalformedInput, UnicodeDecodeError) as error:
        raise StoreError("the profile's identity is damaged; restore a backup") from error
