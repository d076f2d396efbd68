"""Locks and elections on top of keys, leases and watches: what v3lock and v3election offer.

Whoever takes part puts a key `<name>/<lease id in hex>` that hangs on its lease. The one whose key
was created first has the lock, or leads; the others wait until every older key is gone. Programs
that do the same with keys of their own (clientv3's concurrency package, `etcdctl lock`) take part
in the same locks.

Source: shared facts, client.md section 11; observed on 3.5.1.
"""
