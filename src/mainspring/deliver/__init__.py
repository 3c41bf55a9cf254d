"""From candidate to champion: judge it, sign and number it, and say in one file per environment what serves.

`gates` judges evidence; `registry` stores, signs and numbers; `release` is the release file as a record with its pure
transitions, `documents` its form on disk; `rollout` decides the next step of a trial; `ports` is what deliver needs
from outside. `flows.release` joins them with the ledger. Start at `release.Release`.
"""
