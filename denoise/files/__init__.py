"""Image formats: bytes of a file <-> samples and metadata, one module for each."""
