"""Cohorts: SQL over the index, with DataFrames out."""
