"""The entry point `serve`: the HTTP server of an endpoint, under SageMaker's container contract."""
