"""Frames arrive whole however the stream cuts them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.host.wire import FrameReader, FrameTooLarge, encode, read_one

messages = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20), max_size=3), max_size=5)


@given(messages, st.integers(min_value=1, max_value=50))
@settings(derandomize=True, max_examples=200)
def test_messages_survive_any_cut(sent, size):
    data = encode(sent)
    reader = FrameReader()
    got = [message for start in range(0, len(data), size) for message in reader.feed(data[start : start + size])]
    assert got == sent


def test_a_frame_above_the_limit_is_refused_before_it_is_read():
    with pytest.raises(FrameTooLarge):
        FrameReader(limit=10).feed(b"\xff\xff\xff\xff")


def test_one_message_is_read_and_not_a_byte_of_the_next() -> None:
    reader, writer = os.pipe()
    os.write(writer, encode([{"op": "first"}, {"op": "second"}])[:-1])
    assert read_one(reader) == {"op": "first"}
    os.close(writer)
    with pytest.raises(ValueError, match="The other side is gone"):
        read_one(reader)
    os.close(reader)
