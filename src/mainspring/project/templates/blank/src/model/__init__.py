"""The functions that mainspring.yaml names."""
