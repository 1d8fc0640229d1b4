"""Parts that need torch; they run in a child process."""
