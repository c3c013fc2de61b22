"""The PostgreSQL backend, which many hosts share. Needs the extra ``postgres``; imported only when it is asked for."""

from krakenonce.backends.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
