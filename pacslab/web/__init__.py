"""HTTP: the DICOMweb Studies Service (PS3.18) over an archive."""
