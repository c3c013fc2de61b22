"""What is wrong on this machine, by the journal, the state and the running processes: ``krakenonce doctor``."""
