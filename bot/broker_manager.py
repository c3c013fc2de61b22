"""Brokers for MASTER and users, with the global nonce manager."""

from krakenonce.brokers import BrokerManager, KrakenBroker, KrakenNonce

__all__ = ["BrokerManager", "KrakenBroker", "KrakenNonce"]
