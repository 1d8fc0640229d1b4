"""Reports of the gates: for a terminal and as an HTML page."""
