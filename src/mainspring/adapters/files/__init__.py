"""Files on local disk: stores, models, keys and the prediction log."""
