"""Brokers for MASTER and users, on the global nonce source."""

from krakenonce.broker import BrokerManager, KrakenBroker, KrakenNonce

__all__ = ["BrokerManager", "KrakenBroker", "KrakenNonce"]
