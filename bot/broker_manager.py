"""Brokers for MASTER and users, on the global nonce source."""

from krakenonce.broker import KrakenBroker, KrakenNonce
from krakenonce.broker_manager import BrokerManager

__all__ = ["BrokerManager", "KrakenBroker", "KrakenNonce"]
