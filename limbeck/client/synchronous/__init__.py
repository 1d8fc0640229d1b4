"""The client `Client`, generated from `limbeck.client.asynchronous` by `python -m tests.limbeck.sync_client`."""
