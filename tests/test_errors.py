"""The sentence of an error: one line, whatever a library's reason looks like."""

import pytest

from sadcl.errors import SadclError


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("while parsing\n  a: [1\n     ^", "It failed: while parsing a: [1 ^ (a.yaml). Correct it."),
        ("a\r\nb", "It failed: a b (a.yaml). Correct it."),
        ("two  blanks", "It failed: two  blanks (a.yaml). Correct it."),
        ("\udcff", "It failed: \\udcff (a.yaml). Correct it."),
    ],
)
def test_an_error_is_one_line(reason: str, sentence: str) -> None:
    assert str(SadclError(f"It failed: {reason}", where="a.yaml", fix="Correct it")) == sentence
