"""The Python clients of a Limbeck service, `limbeck.Client` and `limbeck.AsyncClient`, on httpx2 and pydantic.

`asynchronous` is the source; `synchronous` is generated from it by `python -m tests.limbeck.sync_client`. What both use
is in this package: options of jobs, rules of retries and downloads, and the environment.
"""
