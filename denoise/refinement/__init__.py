"""The non-local stage: groups of similar patches, filtered together, and frames of a series."""
