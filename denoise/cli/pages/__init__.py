"""Pages about results, each a file of its own that needs no other: one image, and many."""
