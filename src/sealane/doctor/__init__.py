"""What can be wrong with an installation, found and told in plain words with the remedy."""
