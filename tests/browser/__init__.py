"""Chromium at work: what a person sees and clicks."""
