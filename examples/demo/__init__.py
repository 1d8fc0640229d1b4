"""`make demo`: the main job on the field guide, through the service, as a client would do it."""
