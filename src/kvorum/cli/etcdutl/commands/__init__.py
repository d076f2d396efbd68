"""The commands of etcdutl, a module each."""
