"""DICOM networking (PS3.7, PS3.8): what others send us, and what we send."""
