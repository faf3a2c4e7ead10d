"""A relay's own ad: when it is due, what it says, how it takes its leave.

Owns: the node's signing seed for ads, and the rule of renewal. Must not know: how an ad reaches others.

Spec: docs/spec/directory.md, own ads.
"""

from __future__ import annotations

from typing import Final

from railgun.core.directory import Directory
from railgun.crypto.hashing import content_hash
from railgun.crypto.records import SignedAd, sign_ad, sign_testimony
from railgun.crypto.signing import public_key_of
from railgun.types import Address, NodeKey, Role
from railgun.wire.records import AdExtras, Testimony, encode_extras

RENEWALS_A_LIFETIME: Final = 3


class OwnAd:
    """Issues the ads of one node. ``seed`` is the 32-byte seed of the node key; it never shows."""

    def __init__(
        self,
        seed: bytes,
        *,
        address: Address,
        certificate_hash: bytes,
        roles: Role = Role.RELAY,
        extras: AdExtras | None = None,
    ) -> None:
        self._seed = seed
        self.node_key = NodeKey(public_key_of(seed))
        self.address = address
        self.certificate_hash = certificate_hash
        self.roles = roles
        self.extras = extras

    def __repr__(self) -> str:
        return f"OwnAd(node_key={self.node_key.hex()}, address={self.address}, seed=<redacted>)"

    def is_due(self, directory: Directory, wall: float) -> bool:
        """Whether a new ad has to be issued now.

        It has when none is known, a third of the lifetime is over, what it says has changed, or relays took the node
        for dead: a newer ad ends an obituary.
        """
        newest = directory.newest_ad(self.node_key)
        if newest is None or wall >= newest.issued + directory.network.ad_lifetime_seconds / RENEWALS_A_LIFETIME:
            return True
        obituary_dated = directory.latest_obituary_dated(self.node_key)
        if obituary_dated is not None and obituary_dated >= newest.issued:
            return True
        says = (newest.address, newest.certificate_hash, newest.roles, newest.extras_hash)
        return newest.expires <= wall or says != (self.address, self.certificate_hash, self.roles, self._extras_hash)

    def issue(self, directory: Directory, wall: float) -> SignedAd:
        """A new ad with the network's full lifetime, newer than any that the directory knows of this node."""
        issued = self._next_issue(directory, wall)
        return self._sign(issued, issued + directory.network.ad_lifetime_seconds)

    def withdraw(self, directory: Directory, wall: float) -> SignedAd:
        """The ad of a node that leaves: it expires as it is issued."""
        issued = self._next_issue(directory, wall)
        return self._sign(issued, issued)

    def testify(self, node_key: NodeKey, dated: int) -> Testimony:
        """This relay's word that another was dead at ``dated`` (Unix seconds)."""
        return sign_testimony(self._seed, node_key, dated)

    @property
    def _extras_hash(self) -> bytes | None:
        return None if self.extras is None else content_hash(encode_extras(self.extras))

    def _next_issue(self, directory: Directory, wall: float) -> int:
        newest = directory.newest_ad(self.node_key)
        obituary_dated = directory.latest_obituary_dated(self.node_key)
        after = max(-1 if newest is None else newest.issued, -1 if obituary_dated is None else obituary_dated)
        return max(int(wall), after + 1)

    def _sign(self, issued: int, expires: int) -> SignedAd:
        return sign_ad(
            self._seed,
            address=self.address,
            certificate_hash=self.certificate_hash,
            roles=self.roles,
            issued=issued,
            expires=expires,
            extras=self.extras,
        )
