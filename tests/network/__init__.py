"""A network of packets for tests: what a proxy of connections cannot do to members.

Each node has a network namespace of its own, and the only way out is a TUN device. A router, a
process of its own, reads the packets of all TUN devices and hands them on, or does not:

    member 0 ── TUN ──┐
    member 1 ── TUN ──┤ router: one `Link` for each direction between two nodes, with a `Rule`
    member 2 ── TUN ──┤         that says what is lost, how long packets take, and more
    this host ─ TUN ──┘

So TCP itself meets the fault: it sends again, waits longer, gives up. The host is a node too, which
is how clients reach the members; its links have rules of their own.

No namespace and no device has to be removed: each lives as long as a file descriptor or a process
of ours. The kernel's own means (tc netem, nft) are missing on many machines; TUN devices are not.
"""
