"""Grids were taken from stock etcdctl 3.5.1."""

from __future__ import annotations

from kvorum.cli.shared.grid import render, width, wrap


def test_a_grid_is_drawn_as_stock_draws_it() -> None:
    rows = [
        ["127.0.0.1:58541", "true", "2.164398ms", ""],
        ["127.0.0.1:1", "false", "5.000906583s", "context deadline exceeded"],
    ]
    assert render(("endpoint", "health", "took", "error"), rows) == (
        "+-----------------+--------+--------------+---------------------------+\n"
        "|    ENDPOINT     | HEALTH |     TOOK     |           ERROR           |\n"
        "+-----------------+--------+--------------+---------------------------+\n"
        "| 127.0.0.1:58541 |   true |   2.164398ms |                           |\n"
        "|     127.0.0.1:1 |  false | 5.000906583s | context deadline exceeded |\n"
        "+-----------------+--------+--------------+---------------------------+\n"
    )


def test_a_long_cell_is_broken_as_stock_breaks_it() -> None:
    error = "etcdserver: authentication failed, invalid user ID or password"
    assert render(("endpoint", "took", "error"), [["127.0.0.1:36179", "", error]]) == (
        "+-----------------+------+--------------------------------+\n"
        "|    ENDPOINT     | TOOK |             ERROR              |\n"
        "+-----------------+------+--------------------------------+\n"
        "| 127.0.0.1:36179 |      |     etcdserver: authentication |\n"
        "|                 |      |     failed, invalid user ID or |\n"
        "|                 |      |                       password |\n"
        "+-----------------+------+--------------------------------+\n"
    )


def test_a_word_that_is_too_long_stays_whole() -> None:
    url = "http://127.0.0.1:9998,http://127.0.0.1:9999"
    assert wrap(url) == [url]


def test_wide_characters_take_two_columns() -> None:
    assert width("日本") == 4
    assert width("e\u0301") == 1
    lines = render(("n",), [["日本"], ["ab"]]).splitlines()
    assert [width(line) for line in lines] == [8] * len(lines)
