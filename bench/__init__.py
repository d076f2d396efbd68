"""Kvorum beside stock etcd 3.5.1, in one run. How to use it: README.md."""
