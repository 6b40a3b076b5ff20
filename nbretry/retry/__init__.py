"""The retry engine: which provider is asked, when it is retried, and when the next one takes over."""
