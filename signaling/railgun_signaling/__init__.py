"""The blind rendezvous server of Rail Gun: first contact where no relay can be dialled.

It forwards sealed blobs between fresh mailbox keys, hands out relays to start from, and remembers nothing.
Spec: docs/spec/signaling.md. It imports nothing of `railgun`: both sides are held together by the specification and
by the vectors in interop/vectors/signaling.json.
"""

__version__ = "0.1.0"
