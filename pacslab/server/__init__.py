"""The server process: its settings, its two listeners, and how it starts and stops."""
