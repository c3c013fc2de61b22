"""``krakenonce run``: what happens in the processes of the program that it starts."""
