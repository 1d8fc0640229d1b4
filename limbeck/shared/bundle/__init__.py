"""The files of a checkpoint bundle and its manifest (`files`). Imports no torch."""
