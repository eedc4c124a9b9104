"""The service: health, metrics, and the pages around them."""
