"""The corrected dataset in the forms that readers take: states of images, origins of boxes."""
