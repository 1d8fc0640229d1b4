"""Worker processes: Celery tasks or the embedded loop, the sweeper, and the child process for GPU parts."""
