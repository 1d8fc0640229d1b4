"""The client `AsyncClient`, and the source of `limbeck.client.synchronous`."""
