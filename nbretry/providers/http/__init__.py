"""What the HTTP providers share: clients, requests, response streams and the errors of the official SDKs."""
