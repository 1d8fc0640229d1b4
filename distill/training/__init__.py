"""Training: loop, loader, objective, schedules, weight average, training state, metrics."""
