"""Files that were damaged on purpose, one fault each that once ended in something else than the documented error."""

from __future__ import annotations

from pathlib import Path

import pytest

from railgun.errors import ConfigurationError, StoreError
from railgun.runtime.config import load_configuration
from railgun.runtime.network_file import parse_network
from tests.fuzz.targets_files import read_store, store_image

MANY_DIGITS = b"a = " + b"9" * 5_000


@pytest.mark.parametrize(
    "document", [MANY_DIGITS, b'"a\\nb" = 1', b'["a\\u001b[31m\\n"]', b"\xff", b"a = " + b"[" * 5_000]
)
def test_a_strange_document_is_a_mistake_in_one_printable_line(document: bytes, tmp_path: Path) -> None:
    path = tmp_path / "railgun.toml"
    path.write_bytes(document)
    with pytest.raises(ConfigurationError) as configuration:
        load_configuration(path, {})
    with pytest.raises(ConfigurationError) as network:
        parse_network(document, "network file")
    for caught in (configuration, network):
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("found", "spoilt"),
    [
        (b"CREATE TABLE outbox (key BLOB NOT", b"CREATE TABLE outbox (key BLOB\xffNOT"),
        (b"(room_id, message_id)", b"(room_id, message\x9bid)"),
        (b"CREATE TABLE outbox (key BLOB NOT", b"CREATE TABLE outbox (key BLOB\nNOT"),
    ],
)
def test_a_schema_that_is_no_text_is_a_damaged_store(found: bytes, spoilt: bytes) -> None:
    image = store_image()
    assert found in image
    with pytest.raises(StoreError, match="restore the profile from a backup"):
        read_store(image.replace(found, spoilt))
