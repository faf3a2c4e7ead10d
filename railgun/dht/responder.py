"""What a node answers.

Owns: which contacts and records go into an answer, and what fits. Must not know: headers, proofs, deadlines.

Spec: docs/spec/dht.md.
"""

from __future__ import annotations

from collections.abc import Callable

from railgun.dht.contacts import KEY_BYTES, Contact, target_node
from railgun.dht.messages import Answer, FindNodes, FindRecords, Found, Ping, Pong, Refused, Request, Stored
from railgun.dht.store import RecordStore, Source
from railgun.dht.table import Table
from railgun.errors import RefusalCode
from railgun.limits import DHT_CONTACTS_PER_ANSWER_MAX, DHT_RECORDS_PER_ANSWER_MAX

_FOUND_BYTES = 14
"""What `Found` takes without contacts and records."""
_CONTACT_OVERHEAD_BYTES = 2
_RECORD_OVERHEAD_BYTES = 3
_FOR_CONTACTS_BYTES = 240
"""Kept free of second and further records, so that an answer full of them still leads on."""


class Responder:
    """See the module."""

    def __init__(self, table: Table, store: RecordStore, wall: Callable[[], float]) -> None:
        """``wall`` gives Unix seconds."""
        self._table = table
        self._store = store
        self._wall = wall

    def answer(self, request: Request, sender: Contact, *, proved: bool, message_bytes_max: int) -> Answer:
        """Answer ``sender``, in at most so many bytes where that is possible at all."""
        if isinstance(request, Ping):
            return Pong(sender.raw[KEY_BYTES:])
        if isinstance(request, FindNodes):
            return self._found(request.target, [], sender, message_bytes_max)
        if isinstance(request, FindRecords):
            return self._find_records(request, sender, message_bytes_max)
        if not proved:
            return self._refused(RefusalCode.BAD_PROOF)
        code = self._store.offer(request.record, Source(sender.node_key, sender.prefix))
        return Stored() if code is None else self._refused(code)

    def _refused(self, code: RefusalCode) -> Refused:
        return Refused(code, max(int(self._wall()), 0))

    def _find_records(self, request: FindRecords, sender: Contact, message_bytes_max: int) -> Found:
        held = [signed.encoded for signed in self._store.records(request.key, request.first)]
        records: list[bytes] = []
        room = message_bytes_max - _FOUND_BYTES
        for encoded in held[:DHT_RECORDS_PER_ANSWER_MAX]:
            room -= len(encoded) + _RECORD_OVERHEAD_BYTES
            if room < (_FOR_CONTACTS_BYTES if records else 0):
                break
            records.append(encoded)
        return self._found(request.key, records, sender, message_bytes_max, more=len(records) < len(held))

    def _found(
        self, target: bytes, records: list[bytes], sender: Contact, message_bytes_max: int, *, more: bool = False
    ) -> Found:
        room = message_bytes_max - _FOUND_BYTES - sum(len(record) + _RECORD_OVERHEAD_BYTES for record in records)
        near = self._table.find_neighbors(target_node(target), 2 * DHT_CONTACTS_PER_ANSWER_MAX, exclude=sender)
        contacts: list[bytes] = []
        for contact in [one for one in near if not one.failures][:DHT_CONTACTS_PER_ANSWER_MAX]:
            room -= len(contact.raw) + _CONTACT_OVERHEAD_BYTES
            if room < 0:
                break
            contacts.append(contact.raw)
        return Found(tuple(contacts), tuple(records), more)
