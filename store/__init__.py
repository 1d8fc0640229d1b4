"""What Limbeck keeps: settings, tables, queries and files. Knows no web framework, no queue and no torch."""
