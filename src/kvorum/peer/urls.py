"""Which of a member's URLs to use."""

from __future__ import annotations

from collections.abc import Sequence


class UrlPicker:
    """One URL of several at a time; after a failure the next one.

    Stock's picker. The URLs of one member lead to one member, so any that works will do.
    """

    __slots__ = ("_at", "urls")

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = tuple(urls)
        self._at = 0

    def pick(self) -> str:
        return self.urls[self._at % len(self.urls)]

    def failed(self, url: str) -> None:
        """`url` does not work; the next one is picked, if nobody has moved on already."""
        if url == self.pick():
            self._at += 1
