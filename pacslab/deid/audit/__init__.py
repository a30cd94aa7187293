"""The audit: reads what was written, with no code of the engine that wrote it."""
