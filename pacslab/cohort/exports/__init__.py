"""Datasets for others to use, written from a cohort."""
