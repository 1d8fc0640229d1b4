"""HTTP code that all routes share: problem details, request and response models, dependencies and downloads."""
