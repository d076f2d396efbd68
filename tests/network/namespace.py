"""Network namespaces and TUN devices that are gone as soon as nobody holds them.

A namespace that was never given a name lives as long as a process in it or a descriptor of it; a
TUN device as long as the descriptor that made it. So whatever way a test ends, nothing is left.

Source: Linux manual pages network_namespaces(7), setns(2), netdevice(7);
Documentation/networking/tuntap.rst.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

NOT_ROOT = "network namespaces need root"
NOT_HERE = "this machine gives root no network namespaces with TUN devices"
"""Start of the reason of a skip that CI accepts too (tests/conftest.py)."""

MTU_BYTES = 1500
PREFIX_MASK = "255.255.255.0"

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFMTU = 0x8916, 0x891C, 0x8922
_IFF_UP = 0x1
_NAME = "16s"
_REQUEST_BYTES = 40

_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class Namespace:
    """A network namespace with nothing but its loopback device."""

    def __init__(self) -> None:
        self.fd = _in_thread(_make)

    def run(self, what: Callable[[], T]) -> T:
        """`what()`, inside: a socket that is made there stays there."""

        def inside() -> T:
            _check(_libc.setns(self.fd, _CLONE_NEWNET))
            return what()

        return _in_thread(inside)

    def command(self) -> list[str]:
        """Comes before the command of a process that is to run inside; keeps its process id."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.fd}"]

    def close(self) -> None:
        os.close(self.fd)


def open_tun(address: str) -> int:
    """A TUN device with `address`/24, up, in the namespace of the calling thread.

    Returns:
        Its descriptor, which does not block: each read is a packet that was sent out by it, each
        write one that comes in.
    """
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        wanted = struct.pack(f"{_NAME}H22x", b"kvorum%d", _IFF_TUN | _IFF_NO_PI)
        name = fcntl.ioctl(tun, _TUNSETIFF, wanted)[:16]
        _set(name, _SIOCSIFADDR, _address(address))
        _set(name, _SIOCSIFNETMASK, _address(PREFIX_MASK))
        _set(name, _SIOCSIFMTU, struct.pack("i", MTU_BYTES))
        _bring_up(name)
    except BaseException:
        os.close(tun)
        raise
    return tun


@functools.cache
def why_not() -> str | None:
    """Why there can be no namespaces with TUN devices; None: there can."""
    if os.geteuid() != 0:
        # Those of an unprivileged user namespace would do, but /dev/net/tun is root's mostly.
        return NOT_ROOT
    try:
        namespace = Namespace()
        try:
            os.close(namespace.run(lambda: open_tun("10.0.0.1")))
        finally:
            namespace.close()
    except OSError as error:
        return f"{NOT_HERE}: {error}"
    return None


def _in_thread(what: Callable[[], T]) -> T:
    """In a thread that ends afterwards: namespaces are a thread's own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(what).result()


def _make() -> int:
    _check(_libc.unshare(_CLONE_NEWNET))
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    _bring_up(b"lo")
    return fd


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _address(text: str) -> bytes:
    return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def _set(name: bytes, request: int, value: bytes) -> bytes:
    packed = struct.pack(_NAME, name) + value
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        return fcntl.ioctl(any_socket, request, packed.ljust(_REQUEST_BYTES, b"\0"))


def _bring_up(name: bytes) -> None:
    (flags,) = struct.unpack_from("H", _set(name, _SIOCGIFFLAGS, b""), 16)
    _set(name, _SIOCSIFFLAGS, struct.pack("H", flags | _IFF_UP))
