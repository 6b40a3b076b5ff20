"""How code runs in a kernel: hooks of one shell, awaited cells, a thread with an event loop."""
