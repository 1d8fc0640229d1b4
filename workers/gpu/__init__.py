"""Parts that need torch. They run in a child process (`workers.child`)."""
