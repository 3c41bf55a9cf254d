"""For every test: hypothesis judges answers, not how long a busy machine took for one of them."""

from hypothesis import settings

settings.register_profile("ours", deadline=None)
settings.load_profile("ours")
