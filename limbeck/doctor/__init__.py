"""The checks of `limbeck doctor`: of this machine and its settings, and of a service at a URL."""
