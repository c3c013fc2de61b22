"""The backend on Valkey or Redis, which many hosts share. Needs the extra ``redis``; imported only when asked for."""

from krakenonce.backends.redis.store import RedisStore

__all__ = ["RedisStore"]
