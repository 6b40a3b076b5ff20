"""Running code in a kernel: parts installed per shell, awaited cells, an event loop in a thread."""
