"""The corrected dataset in the forms that readers take, with every image's state and every box's origin."""
