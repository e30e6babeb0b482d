"""The documents do what they say: their code blocks are run, in order, against a service."""
