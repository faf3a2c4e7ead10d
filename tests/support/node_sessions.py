"""Olm, Megolm and short codes of the TypeScript peer behind the Python side's `Sessions` port.

Pickles are that side's states as they are; the pickle key is not used: there, whoever stores a state seals it.
"""

from __future__ import annotations

from typing import Any

from railgun.ports import (
    DecryptedMegolm,
    DecryptedOlm,
    EncryptedMegolm,
    EncryptedOlm,
    InboundMegolm,
    OlmAccount,
    OlmSession,
    OutboundMegolm,
)
from tests.support.node_worker import NodeWorker


class NodeSessions:
    """The part of `Sessions` that is in TypeScript."""

    def __init__(self, worker: NodeWorker) -> None:
        self._worker = worker

    def megolm_new(self, pickle_key: bytes) -> OutboundMegolm:
        return _outbound(self._worker.call("megolmNew"))

    def megolm_outbound(self, pickle: bytes, pickle_key: bytes) -> OutboundMegolm:
        return _outbound(self._worker.call("megolmOutbound", pickle))

    def megolm_encrypt(self, pickle: bytes, pickle_key: bytes, plaintext: bytes) -> EncryptedMegolm:
        found = self._worker.call("megolmEncrypt", pickle, plaintext)
        return EncryptedMegolm(found["index"], _bytes(found, "message"), _bytes(found, "state"))

    def megolm_import(self, session_key: bytes, pickle_key: bytes) -> InboundMegolm:
        return _inbound(self._worker.call("megolmImport", session_key))

    def megolm_restore(self, exported: bytes, pickle_key: bytes) -> InboundMegolm:
        return _inbound(self._worker.call("megolmRestore", exported))

    def megolm_export(self, pickle: bytes, pickle_key: bytes, index: int) -> bytes:
        return bytes.fromhex(self._worker.call("megolmExport", pickle, index))

    def megolm_decrypt(self, pickle: bytes, pickle_key: bytes, message: bytes) -> DecryptedMegolm:
        found = self._worker.call("megolmDecrypt", pickle, message)
        return DecryptedMegolm(found["index"], _bytes(found, "plaintext"))

    def olm_account_new(self, pickle_key: bytes) -> OlmAccount:
        return _account(self._worker.call("olmAccountNew"))

    def olm_account(self, pickle: bytes, pickle_key: bytes) -> OlmAccount:
        return _account(self._worker.call("olmAccount", pickle))

    def olm_new_fallback(self, pickle: bytes, pickle_key: bytes) -> OlmAccount:
        return _account(self._worker.call("olmNewFallback", pickle))

    def olm_start(self, pickle: bytes, pickle_key: bytes, identity_key: bytes, fallback_key: bytes) -> OlmSession:
        return _session(self._worker.call("olmStart", pickle, identity_key, fallback_key))

    def olm_accept(self, pickle: bytes, pickle_key: bytes, identity_key: bytes, message: bytes) -> DecryptedOlm:
        return _decrypted(self._worker.call("olmAccept", pickle, identity_key, message))

    def olm_session_id(self, message: bytes) -> bytes:
        return bytes.fromhex(self._worker.call("olmSessionId", message))

    def olm_encrypt(self, pickle: bytes, pickle_key: bytes, plaintext: bytes) -> EncryptedOlm:
        found = self._worker.call("olmEncrypt", pickle, plaintext)
        return EncryptedOlm(_bytes(found, "message"), found["isFirst"], _bytes(found, "state"))

    def olm_decrypt(self, pickle: bytes, pickle_key: bytes, message: bytes, *, is_first: bool) -> DecryptedOlm:
        return _decrypted(self._worker.call("olmDecrypt", pickle, message, is_first))

    def sas_new(self) -> NodeSas:
        return NodeSas(self._worker)


class NodeSas:
    """One `Sas`."""

    def __init__(self, worker: NodeWorker) -> None:
        self._worker = worker
        made = worker.call("sasNew")
        self._number: int = made["number"]
        self.public_key = _bytes(made, "publicKey")

    def establish(self, their_key: bytes) -> NodeEstablishedSas:
        return NodeEstablishedSas(self._worker, self._worker.call("sasEstablish", self._number, their_key))


class NodeEstablishedSas:
    """One `EstablishedSas`."""

    def __init__(self, worker: NodeWorker, number: int) -> None:
        self._worker = worker
        self._number = number

    def decimals(self, info: str) -> tuple[int, int, int]:
        first, second, third = self._worker.call("sasDecimals", self._number, info.encode())
        return first, second, third

    def mac(self, content: bytes, info: str) -> bytes:
        return bytes.fromhex(self._worker.call("sasMac", self._number, content, info.encode()))

    def check_mac(self, content: bytes, info: str, mac: bytes) -> None:
        self._worker.call("sasCheckMac", self._number, content, info.encode(), mac)


def _bytes(found: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(found[name])


def _outbound(found: dict[str, Any]) -> OutboundMegolm:
    key, state = _bytes(found, "sessionKey"), _bytes(found, "state")
    return OutboundMegolm(_bytes(found, "sessionId"), found["nextIndex"], key, state)


def _inbound(found: dict[str, Any]) -> InboundMegolm:
    return InboundMegolm(_bytes(found, "sessionId"), found["firstIndex"], _bytes(found, "state"))


def _account(found: dict[str, Any]) -> OlmAccount:
    return OlmAccount(_bytes(found, "identityKey"), _bytes(found, "state"), _bytes(found, "fallbackKey"))


def _session(found: dict[str, Any]) -> OlmSession:
    return OlmSession(_bytes(found, "sessionId"), _bytes(found, "state"))


def _decrypted(found: dict[str, Any]) -> DecryptedOlm:
    return DecryptedOlm(_session(found["session"]), _bytes(found, "plaintext"))
