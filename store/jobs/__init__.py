"""Jobs and their parts: claims, leases, life cycle, progress, events, heartbeats."""
