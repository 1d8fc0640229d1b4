"""Rows of Markdown tables."""


def row(*cells: str) -> str:
    """One row; line breaks become spaces, and bars are escaped."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n"
