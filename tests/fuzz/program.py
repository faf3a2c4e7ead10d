"""Which targets each fuzz program feeds.

Owns: the division of all targets among programs. Must not know: atheris, hypothesis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

PROGRAMS: Final[dict[str, tuple[str, ...]]] = {
    "cbor": ("cbor",),
    "frames": ("wire.frames.frames", "wire.frames.pulses", "signed_frames", "message"),
    "codecs": ("@codec", "content", "prekeys"),
    "records": ("record", "verify_record", "verify_certificate", "open_entry"),
    "envelopes": ("envelope", "inner", "check_envelope", "open_envelope"),
    "text": ("contact", "invite", "environment"),
    "sessions": ("vodozemac.", "deterministic."),
    "secrets": ("unwrap", "open_secret", "record_sealer"),
    "datagrams": ("stun_answer", "stun_is_answer", "dtls_hello"),
    "handshake": ("listener", "dialler"),
    "sctp": ("sctp_",),
    "documents": ("configuration", "network_file", "profile_facts"),
    "store": ("store",),
    "machines": ("relay_machine", "client_machine"),
}
"""Program to names of targets; a name that ends in ``.`` or ``_`` stands for all that begin with it, and
``@group`` for a group."""


def targets_of(name: str) -> list[Target]:
    """The targets of one program, in the order of the names."""
    from tests.fuzz.targets import all_targets
    from tests.fuzz.targets_machines import machine_targets

    known = (*all_targets(), *machine_targets())
    return [target for wanted in PROGRAMS[name] for target in known if _matches(wanted, target)]


def _matches(wanted: str, target: Target) -> bool:
    if wanted.startswith("@"):
        return target.group == wanted[1:]
    return target.name.startswith(wanted) if wanted.endswith((".", "_")) else target.name == wanted
