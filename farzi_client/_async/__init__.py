"""The asynchronous client, the source of both: ``python -m tests.farzi_client.twins`` makes ``farzi_client._sync`` of it."""
