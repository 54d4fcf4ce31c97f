"""Resource types: each provider creates, updates and deletes one type through the AWS API."""
