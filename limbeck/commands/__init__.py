"""The commands of `limbeck`, one module per group."""
