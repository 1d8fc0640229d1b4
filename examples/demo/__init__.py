"""`make demo`: the whole pipeline on the field guide, run through the service by its Python client."""
