"""The methods of the client `Limbeck`, one module per group of API resources."""
