"""Will this flight arrive at least 15 minutes late? The functions that mainspring.yaml names."""
