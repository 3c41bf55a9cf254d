"""Serving: answer predictions by the release file, log what was said, and never let a candidate hurt.

A request passes codec (`protocols`) -> `plane` (route, assemble, engine) -> `log`; `inference.infer` is the whole
path from bytes to bytes. `reconciler` follows the release beside traffic: it opens verified models (`ports.Models`),
checks each against its recorded sample (`versions`) and swaps everything in one step. `router` keeps a row with its
version while a rollout's weight grows, and stops asking a challenger that fails.

Serve opens no ledger and knows no release file: `ports.Routing` is all it is told.
"""

from mainspring.serve.aborts import AbortRule
from mainspring.serve.log import LogLimits, PredictionLog
from mainspring.serve.log_rules import LogRules
from mainspring.serve.log_sinks import Cadence, LogCounts, Sink, SinkReport
from mainspring.serve.plane import Plane, PlaneRules
from mainspring.serve.ports import (
    Assemble,
    Challenger,
    Chunk,
    Engine,
    LoadedModel,
    LogRefused,
    LogSink,
    LogWriter,
    Models,
    Releases,
    Routing,
    Served,
    rollout_id_of,
)
from mainspring.serve.reconciler import Reconciled, Reconciler

__all__ = [
    "AbortRule",
    "Assemble",
    "Cadence",
    "Challenger",
    "Chunk",
    "Engine",
    "LoadedModel",
    "LogCounts",
    "LogLimits",
    "LogRefused",
    "LogRules",
    "LogSink",
    "LogWriter",
    "Models",
    "Plane",
    "PlaneRules",
    "PredictionLog",
    "Reconciled",
    "Reconciler",
    "Releases",
    "Routing",
    "Served",
    "Sink",
    "SinkReport",
    "rollout_id_of",
]
