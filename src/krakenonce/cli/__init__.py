"""The command line ``krakenonce``."""
