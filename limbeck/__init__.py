"""The Python client (`from limbeck.client import Limbeck`) and the `limbeck` command."""
