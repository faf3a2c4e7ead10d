"""Bounds of rooms: rosters, invites, lobbies, a person's devices.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

ROOMS_MAX: Final = 256
ROSTER_ENTRIES_MAX: Final = 10_000
ROSTER_ENTRIES_PER_AUTHOR_MAX: Final = 2_000
ROOM_DEVICES_MAX: Final = 512
INVITES_LIVE_MAX: Final = 16
ROSTER_ENTRY_BYTES_MAX: Final = 24_576
"""One signed entry: a removal of 64 devices that also lists every device which its generation excludes."""
ROSTER_PENDING_MAX: Final = 512
"""Entries whose author's add, or whose predecessor, has not arrived; the oldest is dropped and fetched again."""
ROSTER_FORKS_PER_NUMBER_MAX: Final = 4
"""Entries kept of one author under one number: enough to show a fork, and to follow the one a removal names."""
ROSTER_REMOVALS_PER_ENTRY_MAX: Final = 64
ROOM_ADMINS_MAX: Final = 64
"""Admins that count, nearest to the creator first: resolving mutual removals is quadratic in them."""
ROOM_NAME_BYTES_MAX: Final = 128
INVITE_CONTACTS_MAX: Final = 8
INVITE_CONTACT_ADDRESSES_MAX: Final = 4
INVITE_LINK_CHARACTERS_MAX: Final = 4_096
INVITE_USES_MAX: Final = 10_000
SETTINGS_DAYS_AHEAD_MAX: Final = 366
"""How far ahead this device lets settings be named; others' entries may name any later day."""
LOBBY_CHUNKS_MAX: Final = 128
"""Sealed envelopes that one lobby answer may take: about 8 MB of roster."""
LOBBY_ANSWERS_MAX: Final = 8
"""Answers that a joiner collects at once; the oldest unfinished one is dropped."""
LOBBY_JOINS_MAX: Final = 256
"""Join requests that a member waits to answer; the oldest is dropped, and posted again next epoch."""
DEVICE_NAME_BYTES_MAX: Final = 128
DEVICE_LINK_SECONDS: Final = 900.0
"""How long a link to a new device is good: two people's time to compare three numbers, and the rooms' to travel."""
DEVICE_LINK_AGAIN_SECONDS: Final = 5.0
"""What is said on a link is said again this often, until the other end goes on."""
DEVICE_LINK_LINGER_SECONDS: Final = 60.0
"""After a link's end each side goes on for so long, in case that its last word was lost."""
OWN_ROOMS_PER_CONTENT_MAX: Final = 4
"""Invites in one word to a person's other devices; more take several."""
OWN_ROOMS_TELL_AGAIN_SECONDS: Final = 600.0
"""A room that another of the person's devices is not in yet is told of again this often; relays keep it for longer."""
OWN_ROOM_INVITE_SECONDS: Final = 7 * 86_400
"""Such an invite is good for so long, and told again until then: a new one each time would fill rosters."""
LOBBY_POST_AGAIN_SECONDS: Final = 15.0
"""A joiner whom nobody has answered asks again, with a later time, this often."""
LOBBY_POSTS_SHOWN_OUT: Final = 3
"""So often a joiner asks on that was shown to be out: what shows it may have been made by an admin who was removed."""
LOBBY_SHOWN_OUT_AGAIN_SECONDS: Final = 4.0
"""How long it waits for each answer then: whoever knows better answers within a few turns."""
LOBBY_POST_AGE_MAX_SECONDS: Final = 3_600
"""Posts of devices that are out are answered no later: relays keep them for an epoch and a little."""
LOBBY_TURN_SECONDS: Final = 1.5
"""How long each member waits for those before it, in an order that differs by joiner, to answer in a lobby."""
LOBBY_TURNS_MAX: Final = 16
LOBBY_COMMITTEE: Final = 5
ROSTER_ASK_FIRST_SECONDS: Final = 10.0
"""After a start, before a member asks whether its roster is everyone's: what is under way has arrived by then."""
ROSTER_ASK_AGAIN_SECONDS: Final = 3_600.0
ROSTER_ASK_VOID_TIMES: Final = 3
"""Questions of a device whose letting-in does not count, before it takes itself for put out."""
ROSTER_ASK_DOUBT_SECONDS: Final = 60.0
"""After a question, before a doubt gives rise to another."""
ROSTER_ANSWER_AGAIN_SECONDS: Final = 20.0
"""Between two answers to one member."""
ROSTER_ANSWER_ANYWAY: Final = 3
"""So many members, the first in turn, answer a straggler whatever else they hear under its generation: who was removed
has its keys, and could pretend to have answered."""
ROSTER_REQUEST_AGE_MAX_SECONDS: Final = 3_600
"""Older requests are repetitions: relays keep envelopes for an epoch and a little."""
ROSTER_ANSWERED_MAX: Final = 1_024
"""Devices of which it is remembered when they were answered; the oldest is dropped."""
STRAGGLERS_FIRST_SECONDS: Final = 3.0
"""After somebody spoke under an older generation, before it is asked for its roster: word may be on its way."""
STRAGGLERS_TURN_SECONDS: Final = 4.0
"""Within so long after that one of those who heard it asks."""
STRAGGLERS_LOOK_TURN_SECONDS: Final = 60.0
"""Within so long one member asks under older generations: first a minute after there is a newer one, then ever more
seldom, down to once an epoch."""
REMOVAL_PROOF_TRIALS_MAX: Final = 4
"""Entries that are tried as the one that put a device out, each with a roster built anew."""
REMOVAL_PROOFS_KEPT_MAX: Final = 64
LOBBY_LINGER_SECONDS: Final = 1_800
"""How long members keep a spent invite's lobby open: the last one in may have missed its answer."""
