"""Run records and the step cache as JSON files."""
