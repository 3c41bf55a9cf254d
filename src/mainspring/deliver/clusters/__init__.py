"""Clusters to deploy to: which commands make one, give access to it and start Argo CD in it. Pure: nothing runs here.

`wanted` holds what somebody asks for, checked so that no value can be read as a flag or by a shell; `providers` turns
it into a plan; `bootstrap` is what follows on any cluster. A plan is argument lists and files; `flows.provision` runs
it. Start at `wanted.Wanted`.
"""
