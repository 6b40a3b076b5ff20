"""Providers that are reached over HTTP: clients, requests, streams and the errors of the official SDKs."""
