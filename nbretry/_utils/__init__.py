"""Helpers that know nothing of language models: masking of secrets, text, names, JSON records, the clock."""
