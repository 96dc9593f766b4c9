"""One text for one value: what was added to or changed in a text does not decode."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.kit import base64url


@given(st.binary(max_size=64))
def test_every_value_comes_back(data):
    text = base64url.encode(data)
    assert base64url.decode(text) == data
    assert "=" not in text


@given(st.binary(max_size=20), st.text(alphabet="Aa_-=+/ \n", min_size=1, max_size=4))
def test_what_was_added_to_a_text_never_gives_the_same_value(data, tail):
    try:
        assert base64url.decode(base64url.encode(data) + tail) != data
    except ValueError:
        return


@pytest.mark.parametrize("text", ["YQ==", "YQ=", "YR", "Y", "YQ==A", "Y Q", "Y+", "ü", "\n"])
def test_other_spellings_are_refused(text):
    with pytest.raises(ValueError):
        base64url.decode(text)
