"""Rules that the client and every part of the service share. Imports none of our packages."""
