"""How fast the API answers beside other load: `python -m benchmarks.responsiveness.{streams,bodies,scrape}`."""
