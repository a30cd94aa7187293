"""De-identification: profiles as data, the engine, pseudonyms, crosswalk, jobs."""
