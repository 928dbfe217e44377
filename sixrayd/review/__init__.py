"""Sends candidates to people in Label Studio and brings their decisions back."""
