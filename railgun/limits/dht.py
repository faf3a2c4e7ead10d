"""Bounds of the DHT.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

DHT_DATAGRAM_BYTES_MAX: Final = 1_232
"""What passes every IPv6 path unfragmented: 1,280 less the IP and UDP headers."""
DHT_BUCKET_CONTACTS: Final = 16
DHT_REPLICAS: Final = 16
"""Nodes that a record is stored at; with a fifth of them dead and a fifth hostile about ten still serve it."""
DHT_ALPHA: Final = 3
"""Requests under way on each path of a lookup; what is late no longer counts."""
DHT_PATHS: Final = 3
DHT_QUORUM: Final = 6
"""Holders near the key that must have answered before a record counts as the newest."""
DHT_CONTACTS_PER_PREFIX_MAX: Final = 2
"""Contacts of one /24 (or /48) in a bucket."""
DHT_CONTACTS_MAX: Final = 4_096
"""Contacts of a whole table; a network of 20,000 fills about 1,500."""
DHT_CONTACTS_PER_ANSWER_MAX: Final = 16
DHT_CANDIDATES_PER_PATH_MAX: Final = 256
"""Contacts that one path of a lookup keeps; the farthest give way."""
DHT_LOOKUP_SECONDS: Final = 5.0
DHT_LOOKUPS_MAX: Final = 256
"""Lookups of one node under way; more are refused to the caller."""
DHT_PENDING_MAX: Final = 4_096
"""Requests of one node that wait for an answer."""
DHT_DEADLINE_FIRST_SECONDS: Final = 0.4
"""Before any round trip is measured."""
DHT_DEADLINE_MIN_SECONDS: Final = 0.03
DHT_DEADLINE_MAX_SECONDS: Final = 1.5
DHT_CONSIDERED_MAX: Final = 64
"""Contacts named by others that are asked at the same time whether they are there."""
DHT_CONTACTS_READ_MAX: Final = 512
"""Contacts lately read or heard, kept so that they need not be worked out again."""
DHT_ROUND_TRIPS_MAX: Final = 2_048
"""Peers whose round trips are remembered."""
DHT_SESSION_KEYS_MAX: Final = 4_096
"""Peers whose MAC keys are remembered; working one out takes about 0.1 ms."""
DHT_COOKIES_MAX: Final = 4_096
"""Peers whose cookies are remembered."""
DHT_COOKIE_SECONDS: Final = 900.0
"""A key makes cookies for so long, and is heeded for as long again."""
DHT_CLOCK_SKEW_SECONDS: Final = 360
"""How far a request's time may lie from ours: the correction that clocks may need, and a minute."""
DHT_REQUESTS_PER_SECOND: Final = 100.0
DHT_REQUESTS_BURST: Final = 400.0
"""Requests of one /24 (or /48) that are looked at."""
DHT_STRANGERS_PER_SECOND: Final = 500.0
DHT_STRANGERS_BURST: Final = 2_000.0
"""Requests of unproved addresses, all together, whose MAC or signature is checked; proved ones have no such limit."""
DHT_RATE_CELLS: Final = 4_096
DHT_MISCONDUCT_MAX: Final = 1_024
"""Nodes remembered for having sent forged records."""
DHT_MISCONDUCT_SECONDS: Final = 600.0
DHT_RECORD_BYTES_MAX: Final = 1_000
DHT_PAYLOAD_BYTES_MAX: Final = 840
DHT_ITEMS_MAX: Final = 64
"""Records under one key; each kind has its own number, this is the greatest."""
DHT_KEY_BYTES_MAX: Final = 32_768
"""Bytes under one key."""
DHT_RECORDS_PER_ANSWER_MAX: Final = 8
DHT_RECORDS_MAX: Final = 32_768
DHT_STORE_BYTES_MAX: Final = 16 << 20
"""Records that a node holds for others; those farthest from it give way to nearer ones."""
DHT_RECORDS_PER_SOURCE_MAX: Final = 1_024
DHT_BYTES_PER_SOURCE_MAX: Final = 512 << 10
DHT_RECORDS_PER_PREFIX_MAX: Final = 4_096
"""Records that one node, and one /24 (or /48), brought first."""
DHT_FUTURE_SECONDS: Final = 60
DHT_PUBLISHED_MAX: Final = 4_096
"""Own records that are stored again and again."""
DHT_REPUBLISH_SECONDS: Final = 3_600.0
DHT_REPUBLISHED_PER_TURN_MAX: Final = 64
DHT_MAINTAIN_SECONDS: Final = 30.0
DHT_SILENT_SECONDS: Final = 600.0
"""A contact not heard for so long is asked whether it is there."""
DHT_CHECKED_PER_TURN_MAX: Final = 16
DHT_REFRESH_SECONDS: Final = 3_600.0
DHT_STATE_BYTES_MAX: Final = 131_072
DHT_REMEMBERED_MAX: Final = 1_024
DHT_REJOIN_AT_ONCE: Final = 32
"""Remembered contacts that are asked at the same time on joining."""
DHT_CLIENT_REQUESTS_MAX: Final = 16
"""Lookups that one client may have its relay do at once."""
DHT_CLIENT_ASKS_PER_SECOND: Final = 8.0
DHT_CLIENT_ASKS_BURST: Final = 64.0
"""Of one client's link, lookups and stores together: each costs its relay some twenty datagrams."""
DHT_ASKS_MAX: Final = 192
"""Of all clients at once; the relay's own lookups keep the rest of DHT_LOOKUPS_MAX."""
DHT_ADS_LOOKED_UP_MAX: Final = 16
"""Ads of newly met nodes that a relay looks up in one turn."""
TRAVERSAL_SERVERS_MAX: Final = 8
"""STUN servers, and as many TURN servers, that one member names, or that are heeded of one room."""
TRAVERSAL_SERVERS_HELD_MAX: Final = 64
"""Of each kind, of all rooms together."""
DHT_CLIENT_WAITING_MAX: Final = 64
"""Asks of one member that wait for answers of its relays."""
