"""The protocol between members, as stock etcd speaks it on its peer port."""
