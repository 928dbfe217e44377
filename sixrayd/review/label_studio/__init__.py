"""Label Studio, on which people review: client, pages, exports, and a server of our own."""
