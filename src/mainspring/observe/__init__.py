"""Layer 5: watch what was said and what came true, and decide: nothing, alert, retrain.

A *tick* is the smallest stretch of time that is watched (6 h). A *profile* counts one tick's rows in the bins of a
model's *reference* (how its training data looked); a *window* is the sum of its ticks' profiles. *Usual* is how far
one week lies from the others inside training: drift is what exceeds it. A *fault* (nulls, values never seen) is a
broken input, told apart from drift, and blocks retraining. Start at `profiles`, then `drift`, `quality`, `policy`.
"""
