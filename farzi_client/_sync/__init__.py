"""The synchronous client, made from ``farzi_client._async``; only ``concurrency`` is written by hand."""
