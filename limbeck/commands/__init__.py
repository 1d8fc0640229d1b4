"""The commands of `limbeck`, a file for those that belong together."""
