"""Pictures of a result, of its noise and of what was learned, for files and for pages."""
