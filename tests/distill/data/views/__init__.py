"""Views beyond crop and flip."""
