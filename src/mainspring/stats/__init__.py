"""Pure numpy and scipy: metrics, intervals in day blocks, paired and sequential tests, drift measures, columns.

Rows of one day share weather, crews and bugs, so they are not independent: every interval and test of a mean here
works on *blocks* (days, or another integer a row). Words: *losses* are one number a row, lower is better; *days* is
an integer a row that names its block; a *difference* is new minus old, so above zero is worse.

Start at `metrics`, then `paired` (the champion gate), then `sequential` (the canary). docs/statistics.md says why.
"""
