"""Words of a line that was typed into `txn` or `watch -i`.

    put k "two words"      double quotes: a Go string literal, with its escapes
    put k 'two words'      single quotes: as it stands
    put k it's             a quote inside a word is a letter

Stock 3.5.1 cuts what stands in single quotes at a wrong place, or panics; here it is kept whole.

Source: etcdctl's argify, as seen from its results.
"""

from __future__ import annotations

import re

from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.goquote import UnquoteError, to_text, unquote

_WORD = re.compile(rb"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^'"\t\n\f\r ][^\t\n\f\r ]*)""")


def argify(line: bytes) -> list[str]:
    """Split a line into words.

    Raises:
        CommandError: a word in double quotes is no string literal.
    """
    words = []
    for word in _WORD.findall(line):
        if word.startswith(b'"'):
            try:
                words.append(to_text(unquote(word)))
            except UnquoteError as error:
                raise CommandError(Exit.INVALID_INPUT, str(error)) from None
        elif word.startswith(b"'"):
            words.append(to_text(word[1:-1]))
        else:
            words.append(to_text(word))
    return words
