"""The storage layer: settings, tables, queries and artefact files. Imports no web framework, no queue and no torch."""
