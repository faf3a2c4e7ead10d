"""Bounds of a tag: at its seats, and at who subscribes to it.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

TAGS_MAX: Final = 4_096
TAG_BYTES_MAX: Final = 64 << 20
"""Envelopes held for one tag. Beyond it publishes are refused with QUOTA_EXCEEDED, none is evicted:
an acknowledged envelope is kept until its epoch's end."""
SEAT_BYTES_MAX: Final = 1 << 30
TAG_SUBSCRIBERS_MAX: Final = 512
TAGS_PER_PEER_MAX: Final = 256
"""Tags that one client may have opened at a relay."""
TAGS_OPENED_BY_RELAY_MAX: Final = 1_024
"""Tags that one other relay may have told a relay of without that any client has shown them since: a quarter of
TAGS_MAX. Of the tags of a network of three relays each other one opens a sixth."""
IDS_PER_FRAME_MAX: Final = 512
PULLS_PER_FRAME_MAX: Final = 256
PULL_BYTES_PER_SECOND: Final = 4 << 20
"""Bytes that one subscriber may pull a second, so that pulling all again and again starves nobody."""
PULL_BYTES_BURST: Final = 16 << 20
PUBLISH_BYTES_PER_SECOND: Final = 2 << 20
PUBLISH_BYTES_BURST: Final = 8 << 20
PUSH_BYTES_PER_SECOND: Final = 16 << 20
"""Envelopes that one other relay may bring: those of many clients, and all that a restarted seat lacks."""
PUSH_BYTES_BURST: Final = 128 << 20
ANNOUNCE_PULL_DELAY_SECONDS: Final = 0.15
SEAT_EXCHANGE_SECONDS: Final = 1.0
UNSEEN_PULL_DELAY_SECONDS: Final = 0.3
AUDIT_SECONDS: Final = 10.0
HIDDEN_GRACE_SECONDS: Final = 3.0
"""How long a client's own seats have to name an id that a third seat named, before that one serves it as well."""
PROMISE_GRACE_SECONDS: Final = 12.0
"""How long a seat that receipted an envelope has to name it to those it serves. Its frames may be lost on the way: the
honest are not to be accused for that."""
PROMISES_MAX: Final = 4_096
"""Receipts of one tag's own seats under watch; what is beyond is believed."""
SEATS_LINKED_MAX: Final = 24
"""Relays that take part in one tag with one seat: the first 2K + 2, and a few that see other seats than we do."""
PENDING_PULLS_PER_SEAT_MAX: Final = 2_048
"""Ids that one other seat named and nobody has brought yet; what is beyond is named again a second later."""
OFFERS_MAX: Final = 256
"""Ids of one tag that clients announced and nobody has brought yet; the oldest gives way."""
OFFERS_PER_PEER_MAX: Final = 32
WORK_PER_SECOND: Final = 256.0
"""What one client may have a relay do beside its envelopes' bytes, in signature checks (about 50 us each)."""
WORK_BURST: Final = 2_048.0
WORK_OF_RELAY_PER_SECOND: Final = 4_096.0
WORK_OF_RELAY_BURST: Final = 16_384.0
PREFIX_SHARE: Final = 16
"""All clients of one network prefix (/24 or /48) may do together what so many may; not in `lan` networks."""
PREFIXES_MAX: Final = 4_096
"""Prefixes whose budgets are remembered; the one without links that was used longest ago is forgotten."""
TAGS_PER_PREFIX_MAX: Final = 1_024
WORK_OPENING_A_TAG: Final = 32.0
"""A new tag is two signatures and a committee worked out over the whole directory."""
WORK_NAMING_A_REFUSED: Final = 1.0
"""To say which envelope was refused, it has to be hashed; without work left the refusal does not name it."""
WORK_FORGED: Final = 16.0
"""A forged envelope costs its sender more than its check costs us, so that a flood of them soon waits."""
FILL_SECONDS: Final = 1.0
"""How long a seat that has just opened a tag waits for its peers' ids before it serves subscribers."""
FILL_SECONDS_MAX: Final = 5.0
"""The same while envelopes keep arriving."""
UNSEEN_PER_SEAT_MAX: Final = 8_192
"""Ids that one seat named and that a subscriber lacks; what is beyond is asked for by number, later."""
PULLS_IN_FLIGHT_PER_SEAT_MAX: Final = 128
"""Ids that a subscriber has asked of one seat and not got yet: 8 MiB at most, two seconds of PULL_BYTES_PER_SECOND."""
SEEN_KEPT_IDS_MAX: Final = 8_192
"""Ids of one tag that a member keeps over a restart: 128 KiB. What came before these is taken in again, and dropped."""
PULLS_AT_LAST_PER_SEAT_MAX: Final = 1_024
"""Ids that a subscriber asks one seat for in a tag's last seconds, when there is no time for one after the other."""
BROKEN_WORDS_MAX: Final = 64
"""Ids that a seat named in one tag and did not bring, before it is believed no more. An honest one keeps what it names
to the tag's end; a restart may cost it a few that nobody had receipted."""
SUSPECTS_MAX: Final = 4_096
"""Ids that audits turned up and that wait to be found hidden or not."""
TAG_IDS_MAX: Final = 262_144
"""Ids and numbers of one tag: TAG_BYTES_MAX of the smallest envelopes."""
