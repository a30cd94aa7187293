"""De-identification: profiles as data, the engine that applies them, pseudonyms, crosswalk, jobs."""
