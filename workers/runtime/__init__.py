"""What every worker process uses: context, lease renewal, running a part, errors, client pool, rate limits."""
