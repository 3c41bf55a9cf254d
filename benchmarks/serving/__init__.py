"""Side by side: our server and its peers, on the same model and the same numbers."""
