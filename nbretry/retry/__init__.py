"""The retry engine: it decides which provider to ask, when to retry it, and when to fall back to the next one."""
