"""Helpers independent of language models: redaction, text, names, JSON records, optional types, display, clock."""
