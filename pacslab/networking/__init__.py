"""Other DICOM nodes, for who sits at a notebook or a shell."""
