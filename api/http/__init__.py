"""What all routes share: problem details, schemas, dependencies, downloads and the OpenAPI document."""
