"""Detectors, one a file, all of one contract (`detector.Detector`), and the judgement over a window (`judgement`).

Each detector measures how far one histogram lies from another. Its threshold is learnt: what was usual from week to
week inside training, plus its slack, but at least its floor. `psi` and `ks` tell drift; `missing` and `novelty` tell
faults: a broken input must not be taken for a changed world.
"""
