"""The HTTP service: routes, request and response models, problems, keys, downloads. Loads neither torch nor a queue."""
