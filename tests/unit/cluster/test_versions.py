from __future__ import annotations

import pytest

from kvorum.cluster.versions import DowngradeError, check_not_downgraded, next_cluster_version
from kvorum.errors import ConfigError
from kvorum.proto.versions import (
    DEFAULT_SERVER_VERSION,
    EMULATED_MINORS,
    Version,
    parse_version,
    server_version,
)


def test_versions_read_back_and_compare_as_numbers() -> None:
    assert str(parse_version("3.10.1")) == "3.10.1"
    assert parse_version("3.10.1") > parse_version("3.9.9")
    assert parse_version("3.4.0-rc.1+git") == Version(3, 4, 0)
    assert parse_version("3.5") == Version(3, 5, 0)
    assert Version(3, 5, 9).cluster == Version(3, 5, 0)
    assert Version(3, 5, 9).short == "3.5"


@pytest.mark.parametrize("text", ["", "3", "3.x", "3.4.5.6", "v3.4", "03.4", "not_decided", "3.4 "])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a version"):
        parse_version(text)


def test_every_emulated_minor_is_presented_and_the_default_is_one_of_them() -> None:
    assert [str(server_version(minor)) for minor in EMULATED_MINORS] == [
        "3.2.0",
        "3.3.0",
        "3.4.0",
        "3.5.0",
        "3.6.0",
        "3.7.0",
    ]
    assert server_version("3.6") == DEFAULT_SERVER_VERSION
    with pytest.raises(ConfigError, match="unknown emulated version"):
        server_version("3.1")


def test_a_new_cluster_runs_at_its_lowest_member() -> None:
    members = [Version(3, 6, 2), Version(3, 5, 9)]
    assert next_cluster_version(None, members) == Version(3, 5, 0)


def test_a_new_cluster_with_an_unknown_member_runs_at_the_lowest_version_of_all() -> None:
    assert next_cluster_version(None, [Version(3, 6, 2), None]) == Version(3, 0, 0)


def test_the_version_rises_only_when_all_members_have() -> None:
    now = Version(3, 5, 0)
    assert next_cluster_version(now, [Version(3, 6, 0), Version(3, 5, 1)]) is None
    assert next_cluster_version(now, [Version(3, 6, 0), None]) is None
    assert next_cluster_version(now, [Version(3, 6, 0), Version(3, 6, 1)]) == Version(3, 6, 0)


def test_the_version_never_falls() -> None:
    assert next_cluster_version(Version(3, 6, 0), [Version(3, 5, 0)]) is None


def test_the_version_falls_when_it_may_from_3_6_at_once_and_from_3_5_when_all_have_moved() -> None:
    v3_4, v3_5, v3_6 = (Version(3, minor, 1) for minor in (4, 5, 6))
    assert next_cluster_version(v3_6.cluster, [v3_6, v3_6], v3_5.cluster) == v3_5.cluster
    assert next_cluster_version(v3_5.cluster, [v3_5, v3_4], v3_4.cluster) is None
    assert next_cluster_version(v3_5.cluster, [v3_4, None], v3_4.cluster) is None
    assert next_cluster_version(v3_5.cluster, [v3_4, v3_4], v3_4.cluster) == v3_4.cluster
    assert next_cluster_version(v3_4.cluster, [v3_4, v3_4], v3_4.cluster) is None


def test_a_program_of_the_version_that_its_cluster_goes_down_to_may_run() -> None:
    v3_4, v3_5, v3_6 = (Version(3, minor) for minor in (4, 5, 6))
    check_not_downgraded(Version(3, 4, 23), v3_5, v3_4)
    with pytest.raises(DowngradeError):
        check_not_downgraded(Version(3, 3), v3_5, v3_4)
    with pytest.raises(DowngradeError, match=r"determined cluster version 3\.6"):
        check_not_downgraded(v3_5, v3_6, v3_5)  # its version falls first


def test_a_program_older_than_its_cluster_refuses_to_run() -> None:
    check_not_downgraded(Version(3, 6, 0), None)
    check_not_downgraded(Version(3, 6, 0), Version(3, 6, 0))
    with pytest.raises(DowngradeError, match="server version is lower than determined cluster"):
        check_not_downgraded(Version(3, 5, 9), Version(3, 6, 0))
