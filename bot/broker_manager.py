"""Brokers for MASTER and users, on the global nonce source."""

from krakenonce.brokers import BrokerManager, KrakenBroker, KrakenNonce

__all__ = ["BrokerManager", "KrakenBroker", "KrakenNonce"]
