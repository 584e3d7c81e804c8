"""What a study comes in: folders, archives, single files, NIfTI."""
