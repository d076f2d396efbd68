"""The commands of etcdctl, a module each."""
