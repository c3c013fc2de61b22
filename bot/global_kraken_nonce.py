"""The global nonce manager: one nonce counter and one API lock for MASTER and all users."""

from krakenonce.global_manager import (
    GlobalKrakenNonceManager,
    get_global_kraken_nonce,
    get_global_nonce_manager,
    get_global_nonce_stats,
    get_kraken_api_lock,
)

__all__ = [
    "GlobalKrakenNonceManager",
    "get_global_kraken_nonce",
    "get_global_nonce_manager",
    "get_global_nonce_stats",
    "get_kraken_api_lock",
]
