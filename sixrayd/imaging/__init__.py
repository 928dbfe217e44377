"""Decoding within limits and perceptual hashes."""
