"""Image files: which kinds are read (`kinds`), the one decoder (`decode`), and their names as text (`file_names`)."""
