"""Speed benchmarks; every one prints the machine and its targets."""
