"""The etcd backend, which many hosts share. Imported only when it is asked for."""

from krakenonce.backends.etcd.store import EtcdStore

__all__ = ["EtcdStore"]
