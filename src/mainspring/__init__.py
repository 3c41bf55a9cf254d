"""mainspring: one file describes a model's life; mainspring keeps it running."""

__version__ = "0.1.0"
