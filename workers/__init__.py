"""What runs parts: Celery's tasks or the embedded loop, the sweeper, and the child process that does GPU work."""
