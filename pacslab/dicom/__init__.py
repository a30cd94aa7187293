"""What DICOM is: attributes, instances, questions and pixels, with no I/O and no state."""
