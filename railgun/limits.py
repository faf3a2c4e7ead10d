"""Every bound in one place: what a peer, a file or a caller can make us hold or do.

Owns: the numbers, each with its reason. Must not know: who enforces them.
Units stand last in the names. A collection that a peer feeds and that has no bound here is a bug.
"""

from __future__ import annotations

from typing import Final

# --- frames and links -----------------------------------------------------------------------
MESSAGE_BYTES_MAX: Final = 16_384
"""One data-channel message. aiortc's SCTP refuses 65,536 with a header, and smaller is fairer."""
FRAGMENT_BYTES_MAX: Final = 16_000
"""Payload of one fragment, so that it fits a message with its own framing."""
FRAME_BYTES_MAX: Final = 70_000
"""A reassembled frame: the largest envelope (65,536) and its fields."""
FRAGMENTED_FRAMES_MAX: Final = 8
"""Frames that one peer may have half-sent at once; the oldest is dropped."""
PULSE_BYTES_MAX: Final = 1_100
"""A pulse fits one datagram."""
PULSE_TAGS_MAX: Final = 24
"""Tags whose last number one pulse repeats; busier links take turns."""
LINKS_MAX: Final = 512
"""Links of one node. A connection costs about 200 kB."""
LINKS_PER_PREFIX_MAX: Final = 128
"""Inbound links from one /24 or /48; not in `lan` networks."""
LINK_SEND_BUDGET_BYTES: Final = 1 << 20
"""Bytes that may wait in one link's send buffer before the machine has to decide what to drop."""
FAILED_PEERS_MAX: Final = 1_024
"""Relays remembered for a while as out of reach."""
HALF_OPEN_MAX: Final = 256
"""Handshakes under way on the listener; the oldest is evicted, the newest never refused."""
HALF_OPEN_SECONDS: Final = 5.0
HALF_OPEN_PER_ADDRESS_MAX: Final = 16
HALF_OPEN_PER_PREFIX_MAX: Final = 64
DIAL_SECONDS: Final = 5.0
"""Deadline of one dial, proof included."""
CLOSE_SECONDS: Final = 2.0
"""Deadline of closing one link; after it the link is abandoned."""
LINK_IDLE_SECONDS: Final = 60.0
HANDSHAKE_BYTES_MAX: Final = 1_024
"""A message of the in-band proof: keys, nonces and a signature."""
FLIGHT_BYTES_MAX: Final = 384 * 1_024
"""Bytes unacknowledged on one link. About six large frames, so that loss rarely leaves more than
FRAGMENTED_FRAMES_MAX of them unfinished at the receiver."""
RECEIVE_BYTES_MAX: Final = 1 << 20
"""Bytes of unfinished messages on one link; announced as the receive window, and enforced."""
CHUNKS_AHEAD_MAX: Final = 4_096
"""Chunks accepted beyond the first missing one; later ones are dropped, and come again."""
PULSES_WAITING_MAX: Final = 4
"""Pulses that may wait behind a message under way; more are dropped at once."""
COOKIES_SPENT_MAX: Final = 16_384
"""Spent cookies remembered a key; when as many are spent, the keys change early."""
TOKEN_BUCKET_CELLS: Final = 4_096
"""Rate buckets of one kind, a fixed array: sources that share a cell share its rate."""
DIAL_ADDRESSES_MAX: Final = 4
"""Addresses of one contact that are tried at once."""

# --- liveness -------------------------------------------------------------------------------
PULSE_SECONDS: Final = 1.0
PULSE_SECONDARY_SECONDS: Final = 5.0
PULSES_PER_SECOND: Final = 16.0
PULSES_BURST: Final = 64.0
"""What a relay answers on one link; who asks more often than any watch or probe does is not answered."""
SUSPECT_SECONDS: Final = 2.5
DEAD_SECONDS: Final = 3.0
PROBE_SECONDS: Final = 0.5
CLIENT_SILENCE_SECONDS: Final = 60.0
"""A client that a relay has not heard for so long is let go: it would pulse at least every five seconds."""

# --- clocks ---------------------------------------------------------------------------------
CLOCK_CORRECTION_MAX_SECONDS: Final = 300.0
CLOCK_SAMPLES_MIN: Final = 3
CLOCK_SAMPLES_MAX: Final = 16
AD_FUTURE_MAX_SECONDS: Final = 60

# --- directory ------------------------------------------------------------------------------
AD_CORE_BYTES_MAX: Final = 300
AD_EXTRAS_BYTES_MAX: Final = 2_048
ADS_MAX: Final = 20_000
"""Nodes in one directory; overflow is cut by a rule that every peer shares."""
ADS_PER_NODE_MAX: Final = 4
"""Superseded ads that an open epoch may still need."""
ADS_PER_FRAME_MAX: Final = 128
OBITUARY_BYTES_MAX: Final = 700
OBITUARY_TESTIMONIES_MAX: Final = 5
OBITUARY_SUSPECTS_MAX: Final = 256
"""Relays that one relay suspects at a time, and of which it gathers others' words; the oldest words go first."""
OBITUARIES_PER_NODE_MAX: Final = 4
"""The newest by date; only nodes with an ad can have one."""
DIRECTORY_RANGES_PER_FRAME_MAX: Final = 64
DIRECTORY_IDS_PER_RANGE_MAX: Final = 32
DIRECTORY_IDS_PER_FRAME_MAX: Final = 512
DIRECTORY_PUSH_BYTES_MAX: Final = 131_072
"""Records pushed in answer to one frame; what is left is compared again, so that the peer sets the pace."""
GOSSIP_SECONDS: Final = 10.0
GOSSIP_CALM_SECONDS_MAX: Final = 150.0
"""A client that finds nothing new compares ever less often, down to this, and at least four times an epoch: an ad
counts an epoch after it was issued."""
AD_FORWARD_SECONDS: Final = 120
"""Only ads this fresh are pushed on at once: what a peer catches up on, its neighbours compare for themselves."""
AD_FORWARDS_PER_SECOND: Final = 32.0
AD_FORWARDS_BURST: Final = 512.0
"""Fresh ads of one peer that are pushed on; 10,000 relays make one every 3 s, and no one peer may flood the network."""
DIRECTORY_FRAMES_PER_SECOND: Final = 16.0
DIRECTORY_FRAMES_BURST: Final = 256.0
"""Directory frames that one peer may have answered; a comparison from nothing takes about 100 for 20,000 ads."""
RELAYS_COUNTED_MIN: Final = 3
"""With fewer, an epoch's cut-off moves forward, so that a young network works at once."""
COUNTED_CACHED_MAX: Final = 64
"""Epoch starts whose relays are kept worked out; a peer can name any second as a start."""
COMMITTEES_CACHED_MAX: Final = 4_096

# --- committees -----------------------------------------------------------------------------
COMMITTEE_MIN: Final = 3
COMMITTEE_MAX: Final = 7
COMMITTEE_DEFAULT: Final = 5
RECEIPT_IDS_MAX: Final = 64

# --- tags at a seat -------------------------------------------------------------------------
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

# --- what is held against relays -------------------------------------------------------------
REPUTATION_RELAYS_MAX: Final = 1_024
REPUTATION_REPORTS_MAX: Final = 256
"""Faults of one turn."""
REPUTATION_DETAIL_BYTES_MAX: Final = 128

# --- clients --------------------------------------------------------------------------------
SEND_KEYS_MAX: Final = 1_024
"""Keys of sends that a room remembers; a send is repeated soon or never, so the oldest go first."""
SEND_KEY_BYTES_MAX: Final = 64
PENDING_SENDS_MAX: Final = 1_024
MEGOLM_SKIPPED_MAX: Final = 2_000
UNKNOWN_SESSION_ENVELOPES_MAX: Final = 512
"""Envelopes kept while their Megolm session is not yet known; the oldest is dropped."""
ROOMS_MAX: Final = 256
ROSTER_ENTRIES_MAX: Final = 10_000
ROSTER_ENTRIES_PER_AUTHOR_MAX: Final = 2_000
ROOM_DEVICES_MAX: Final = 512
INVITES_LIVE_MAX: Final = 16
GENERATIONS_LIVE_MAX: Final = 8
TEXT_BYTES_MAX: Final = 131_072
MESSAGE_PARENTS_MAX: Final = 8
HISTORY_PAGE_MAX: Final = 500
PEER_EVENTS_QUEUE_MAX: Final = 4_096
"""Frames and pulses of all peers that wait for the machine; a peer may fill what the others have left of it."""
PEER_EVENTS_SURE: Final = 64
"""Of one peer so many may wait in any case, whatever others do."""
PEER_EVENT_BYTES_QUEUE_MAX: Final = 64 << 20
PEER_EVENT_BYTES_SURE: Final = 256 << 10
"""The same in bytes."""

# --- keys and secrets at rest ---------------------------------------------------------------
MEGOLM_LIVE_SESSIONS_MAX: Final = 1_024
"""Unpickled Megolm sessions kept for speed, about 1 kB each; the one used longest ago goes first."""
ARGON2_MEMORY_BYTES_MAX: Final = 1 << 30
"""What a stored header may make us allocate; a hostile file must not exhaust the machine."""
ARGON2_OPERATIONS_MAX: Final = 16
HPKE_PLAINTEXT_BYTES_MAX: Final = 65_536
OLM_MESSAGE_BYTES_MAX: Final = 16_384
"""What two devices tell each other is some session keys, 229 bytes each."""
CERTIFICATE_BYTES_MAX: Final = 2_048

# --- rooms ----------------------------------------------------------------------------------
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
DELIVERY_ITEMS_MAX: Final = 64
"""Recipients of one sealed envelope: about 45 fit the largest class."""
KEY_REQUEST_ITEMS_MAX: Final = 64
KEY_REQUESTS_MAX: Final = 512
"""Sessions asked for and not yet got; the oldest is dropped."""
INBOUND_SESSIONS_MAX: Final = 8_192
"""Megolm sessions kept to read with; the oldest that sent nothing lately is dropped."""
INBOUND_SESSIONS_PER_DEVICE_MAX: Final = 64
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
KEY_REQUEST_AGE_MAX_SECONDS: Final = 86_400
"""Older requests are repetitions: relays keep envelopes for an epoch and a little, and who asks goes on asking."""
KEY_REQUEST_SENDERS_MAX: Final = 16
"""Devices that one request asks to start over with."""
PAIRWISE_ITEMS_MAX: Final = 256
"""Recipients of one pairwise envelope: 180 whose sessions are under way, or 40 first messages, fit the largest."""
PAIRWISE_KEYS_MAX: Final = 8
"""Megolm session keys in one pairwise message; more take several."""
PAIRWISE_SESSIONS_PER_DEVICE_MAX: Final = 4
"""Both ends may start at once, and again after a loss; the one used longest ago goes first."""
PAIRWISE_TAKEN_MAX: Final = 4_096
"""Pairwise messages remembered, so that one sealed again does not look like a broken session."""
PAIRWISE_BROKEN_MAX: Final = 1_024
"""Devices whose session broke, or was started anew of late."""
PAIRWISE_HEAL_FIRST_SECONDS: Final = 1.0
PAIRWISE_HEAL_SECONDS: Final = 60.0
"""Between two requests to start over; doubled each time."""
PAIRWISE_HEAL_TIMES_MAX: Final = 8
PAIRWISE_FRESH_SECONDS: Final = 60.0
"""One device is not started over with more often, however often it asks."""
GENERATIONS_UNNAMED_MAX: Final = 8
"""Secrets that arrived before the roster entry that names them; the oldest is dropped."""
CONTENT_BYTES_MAX: Final = 262_144
"""One message's content before it is split."""
CONTENT_PARTS_MAX: Final = 8
CONTENT_ASSEMBLIES_MAX: Final = 64
"""Split messages half received, over all authors; the oldest is dropped."""
EMOJI_BYTES_MAX: Final = 64
FILE_NAME_BYTES_MAX: Final = 255
FILE_BYTES_MAX: Final = 32 << 20
"""A file that travels in a room: half of what a seat holds for one tag, whatever an owner configures."""
FILE_BYTES_DEFAULT_MAX: Final = 8 << 20
"""What is sent and collected unless an owner configures otherwise."""
FILE_STRICT_BYTES_MAX: Final = 512 << 10
"""In a room under strict cover, where a file takes about a tick for every 3,840 bytes."""
FILE_BYTES_PER_SECOND: Final = 1 << 20
"""Of one peer, so that what is said meanwhile is hardly later for it."""
FILE_BYTES_PER_EPOCH_MAX: Final = 16 << 20
"""Of one peer in one room: four senders at once leave their tag room for messages (TAG_BYTES_MAX)."""
FILE_WANT_RANGES_MAX: Final = 64
"""Gaps that one request names; what lies behind them is asked for once these are closed."""
FILES_INCOMING_MAX: Final = 64
"""Files of others of which a room remembers how far they have come; the oldest that needs no more is forgotten."""
FILES_HELD_BYTES_MAX: Final = 64 << 20
"""Bytes of files that a room keeps until they are saved. What does not fit is not collected."""
FILES_OUTGOING_MAX: Final = 32
"""Own files of which a room remembers where they are, to send pieces again; the oldest finished one is forgotten."""
FILE_RESEND_TIMES_MAX: Final = 8
"""How often each of a file's bytes is sent again, on average: members may ask, and are not to make us send for ever."""
FILE_ASK_SECONDS: Final = 15.0
"""A file that grew no more for so long is asked for; doubled each time."""
FILE_ASK_TIMES_MAX: Final = 8
MESSAGE_IDS_PER_CONTENT_MAX: Final = 256
"""Ids in one `heads` or `want`."""
MESSAGES_REMEMBERED_MAX: Final = 4_096
"""Ids by which a device tells whether a message's parents have come."""
GAPS_WANTED_MAX: Final = 1_024
"""Messages that a device of a room knows to lack and asks for; what is beyond is named again by later ones."""
GAPS_MISSING_MAX: Final = 256
"""Messages that were asked for in vain, and are shown as missing; the oldest is forgotten."""
GAPS_ASKED_AT_ONCE_MAX: Final = 64
"""Messages asked for and not here yet: what a member answers with in a few seconds."""
GAPS_TRAIL_IDS: Final = 200
"""Ids of one trail: they fit an envelope of 4,096 bytes."""
GAPS_ANSWERS_MAX: Final = 1_024
"""Messages that wait for our turn to bring them again, all askers together."""
GAPS_ANSWERS_REMEMBERED_MAX: Final = 4_096
GAPS_ANSWERS_PER_ASKER_MAX: Final = 2_048
"""Of one asker in GAPS_ANSWERS_WINDOW_SECONDS: nobody makes members send again without end."""
GAPS_ANSWER_BYTES_PER_ASKER_MAX: Final = 8 << 20
GAPS_ANSWERS_WINDOW_SECONDS: Final = 600.0
GAPS_ANSWER_BYTES_PER_SECOND: Final = 512 << 10
"""Of one member, so that what is said meanwhile is hardly later for it."""
GAPS_HEADS_WAITING_MAX: Final = 64
"""Members whose newest ids wait until what they name has come; the oldest is dropped."""
RECENT_MESSAGES_MAX: Final = 16
"""Newest messages that nothing refers to yet; beyond it the oldest is no longer named as a parent."""

# --- cover ----------------------------------------------------------------------------------
FRAGMENTS_MAX: Final = 19
"""Fragments of the largest body in envelopes of 4096 bytes."""
FRAGMENT_ASSEMBLIES_MAX: Final = 64
"""Bodies half received of a room; the oldest is dropped."""
FRAGMENTED_REMEMBERED_MAX: Final = 1_024
"""Bodies that were put together lately, so that their fragments are not gathered once more."""
COVER_QUEUE_MAX: Final = 4_096
"""Bodies that wait for strict cover's ticks. Beyond it answers to others give way, then notices that nobody waits for;
messages have a bound of their own (PENDING_SENDS_MAX) and never give way."""
COVER_TRANSFERS_MAX: Final = 1_024
"""Fragmented bodies under way whose receipts are put together; the oldest is forgotten."""

# --- configuration --------------------------------------------------------------------------
CONFIGURATION_BYTES_MAX: Final = 1 << 20
"""A configuration file; a larger one is something else, named by mistake."""
BOOTSTRAP_MAX: Final = 64
"""Contacts in one configuration: a handful is enough, since peers are remembered."""
CONTACT_TEXT_MAX: Final = 200
"""Scheme, 86 characters of keys, and the longest address, with room to spare."""

# --- what is kept on disk -------------------------------------------------------------------
STORE_KEY_BYTES_MAX: Final = 256
"""Keys are a room id and a few more fields; a longer one is a bug."""
STORE_VALUE_BYTES_MAX: Final = 16 << 20
"""One value. Machines write far smaller ones; a larger one is a bug."""
STORE_BUSY_SECONDS: Final = 5.0
"""How long to wait for another process that holds the store (a backup) before saying so."""
STORE_CHECK_BYTES_MAX: Final = 64 << 20
"""Stores up to this size are checked whole when opened; reading larger ones would delay every start."""
STORE_LOG_BYTES_MAX: Final = 4 << 20
"""The write-ahead log is cut back to this after each checkpoint."""
PROFILE_FILE_BYTES_MAX: Final = 65_536
"""``profile.toml``, the wrapped secrets and a key file are far smaller; more is not read."""
BACKUP_CHUNK_BYTES: Final = 1 << 20
"""A backup is sealed and read in pieces of this size: neither end holds more of it in memory."""
BACKUP_STORE_BYTES_MAX: Final = 1 << 36
"""The largest store that a backup may hold (64 GiB): what a file claims must not fill a disk without end."""
GENERATION_LIVE_DAYS: Final = 7
"""Days on which one generation may be used: what a stolen copy of its secret is worth at most."""
GENERATION_TURN_SECONDS: Final = 5.0
"""How long each admin waits for those before it to make a generation that is needed."""
SESSION_MESSAGES_MAX: Final = 100
SESSION_MESSAGES_LARGE_ROOM_MAX: Final = 1_000
SESSION_LARGE_ROOM_DEVICES: Final = 50
SESSION_AGE_MAX_SECONDS: Final = 86_400.0
SESSION_INDEX_MAX: Final = 4_096
"""Honest senders renew a session long before; a replay window is a bitmap of so many bits."""
SESSIONS_SHARED_MAX: Final = 64
"""Own sessions of which it is remembered who got them, to answer requests for them again."""
KEY_REQUEST_FIRST_SECONDS: Final = 1.0
"""A key usually travels just before its first message; only then is it asked for."""
KEY_REQUEST_AGAIN_SECONDS: Final = 15.0
KEY_REQUEST_TIMES_MAX: Final = 8
KEY_ANSWER_AGAIN_SECONDS: Final = 10.0
"""One device is not sent one session's key more often than this, however often it asks."""
GAP_ASK_FIRST_SECONDS: Final = 2.0
"""A message that another names is mostly under way itself."""
GAP_ASK_AGAIN_SECONDS: Final = 4.0
"""Doubled each time, up to GAP_ASK_SECONDS_MAX."""
GAP_ASK_SECONDS_MAX: Final = 64.0
GAP_ASK_TIMES_MAX: Final = 6
"""Then a message counts as missing; it is asked for again, once, when a member tells its newest ids."""
GAP_TURN_SECONDS: Final = 0.75
"""How long each member waits for those before it, in an order that differs by message, to bring it again."""
GAP_TURNS_MAX: Final = 16
GAP_ANSWER_AGAIN_SECONDS: Final = 3.0
"""A message that was brought again is not brought once more before."""
HEADS_FIRST_SECONDS: Final = 3.0
"""After a start or a return, before a member tells its newest ids: what seats hold has arrived by then."""
HEADS_TURN_SECONDS: Final = 1.0
HEADS_TURNS_MAX: Final = 20
"""Of an epoch's word; those beyond share the last turn."""
HEADS_SETTLED_SECONDS: Final = 5.0
"""A younger message need not be missing where somebody's newest ids do not tell of it."""
HEADS_AGAIN_SECONDS: Final = 5.0
LOBBY_POST_AGAIN_SECONDS: Final = 15.0
"""A joiner whom nobody has answered asks again, with a later time, this often."""
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
LOBBY_LINGER_SECONDS: Final = 1_800
"""How long members keep a spent invite's lobby open: the last one in may have missed its answer."""

# --- keeping generations going --------------------------------------------------------------
GENERATION_ASK_FIRST_SECONDS: Final = 2.0
"""A generation that the roster names may be on its way: wait so long before asking."""
GENERATION_ASK_AGAIN_SECONDS: Final = 10.0
GENERATION_ANSWER_TURN_SECONDS: Final = 0.5
GENERATION_REQUESTS_WAITING_MAX: Final = 64
"""Members whose requests wait for our turn to answer; the oldest is dropped, and asks again."""

# --- what waits for the application ---------------------------------------------------------
TYPING_QUEUE_MAX: Final = 64
"""Typing signs that nobody has asked for yet; further ones are dropped."""

# --- searching what is kept -----------------------------------------------------------------
SEARCH_PAGE_MESSAGES: Final = 32
"""Messages in memory at once while a room is searched: 4 MiB where all are as long as may be."""
SEARCH_TEXT_BYTES_MAX: Final = 1_024
SEARCH_FOUND_BYTES_MAX: Final = 512 << 10
"""Text in one answer: less than CONTROL_LINE_BYTES_MAX also where JSON spells every byte with six."""

# --- the control socket of a profile --------------------------------------------------------
CONTROL_LINE_BYTES_MAX: Final = 4 << 20
"""One request or answer: a text in which JSON spells every byte with six, or a page of history."""
CONTROL_CONNECTIONS_MAX: Final = 32
"""Commands served at once; further ones are told to try again."""
CONTROL_REQUEST_SECONDS: Final = 10.0
"""Who connects and asks nothing is let go."""

# --- the DHT --------------------------------------------------------------------------------
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
DHT_CLIENT_WAITING_MAX: Final = 64
"""Asks of one member that wait for answers of its relays."""

# --- members linked directly ----------------------------------------------------------------
DIRECT_CONTACTS_MAX: Final = 64
"""Members of one room whose contacts are kept; as many as the DHT holds under a tag."""
DIRECT_DIALS_MAX: Final = 8
"""Members of one room that are dialled; with those who dial us everyone hears everything within a few steps."""
DIRECT_LINKS_MAX: Final = 128
"""Links with members, whether proved or not yet."""
DIRECT_PEERS_MAX: Final = 64
"""Members of one room that are linked directly."""
DIRECT_HELD_BYTES_MAX: Final = 8 << 20
"""Envelopes of all rooms that a member keeps for members who lack them; the oldest give way."""
DIRECT_HELD_MAX: Final = 8_192
DIRECT_IDS_MAX: Final = 16_384
"""Ids of one tag of which it is remembered which linked members have them; the oldest are forgotten."""
DIRECT_WANTED_MAX: Final = 4_096
"""Ids of one tag that linked members name and that have not come."""
DIRECT_PULLS_AT_ONCE_MAX: Final = 128
DIRECT_PULL_TIMES_MAX: Final = 6
DIRECT_FRAMES_PER_SECOND: Final = 256.0
DIRECT_FRAMES_BURST: Final = 2_048.0
"""Of one linked member; beyond it frames are dropped, and what they said is said again later."""
DIRECT_BYTES_PER_SECOND: Final = 4 << 20
DIRECT_BYTES_BURST: Final = 16 << 20
"""Envelopes that one linked member may push, and as much again that it may pull."""
DIRECT_FAILED_OPENS_MAX: Final = 4
"""Proofs of one link that may fail before it is closed."""
