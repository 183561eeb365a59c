"""The noise of an image: levels, models, estimates, transforms."""
