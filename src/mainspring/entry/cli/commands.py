"""Every command: its name, the module and attribute that hold it, and the line that `--help` shows."""

from collections.abc import Mapping

COMMANDS: Mapping[str, tuple[str, str]] = {
    "approve": ("mainspring.entry.cli.release:approve", "Approve a version for an environment."),
    "audit": ("mainspring.entry.cli.audit:audit", "Prove that the ledger is whole, and releases allowed."),
    "demo": ("mainspring.entry.cli.demo:demo", "Run the whole loop on real data, start to report."),
    "replay": ("mainspring.entry.cli.demo:replay", "Replay history under several retraining policies."),
    "label": ("mainspring.entry.cli.watching:label", "Take in labels from a file."),
    "lineage": ("mainspring.entry.cli.watching:lineage", "Say where a prediction came from."),
    "status": ("mainspring.entry.cli.watching:status", "Show what serves, what was seen, what was decided."),
    "watch": ("mainspring.entry.cli.watching:watch", "Watch, judge, retrain."),
    "data": ("mainspring.entry.cli.features:data", "Read the history of snapshots."),
    "features": ("mainspring.entry.cli.features:features", "List features; bring the online store up to date."),
    "keys": ("mainspring.entry.cli.features:keys", "List keys; trust a key."),
    "up": ("mainspring.entry.cli.up:up", "Serve, watch and show the report page together."),
    "promote": ("mainspring.entry.cli.release:promote", "Bring a version into an environment."),
    "rollback": ("mainspring.entry.cli.release:rollback", "Go back to the last healthy release."),
    "serve": ("mainspring.entry.cli.serve:serve", "Serve what the release file says."),
    "snapshot": ("mainspring.entry.cli.pipeline:snapshot", "Take a snapshot of every source."),
    "train": ("mainspring.entry.cli.pipeline:train", "Train a candidate and judge it."),
    "ci": ("mainspring.entry.cli.pipelines:ci", "List what pipelines need; bring in the images that they built."),
    "check": ("mainspring.entry.cli.check:check", "Check the project file, its code and its data."),
    "gate": ("mainspring.entry.cli.pipeline:gate", "Show the verdict of the gates on a version."),
    "tokens": ("mainspring.entry.cli.tokens:tokens", "Make, list and revoke API keys."),
    "tracking": ("mainspring.entry.cli.pipeline:tracking", "Show runs in MLflow."),
    "score": ("mainspring.entry.cli.score:score", "Score many asks at once, logged like the server's."),
    "import": ("mainspring.entry.cli.importing:import_model", "Adopt a model that exists: ONNX or an MLflow version."),
    "init": ("mainspring.entry.cli.init:init", "Write a new project from a template."),
    "render": ("mainspring.entry.cli.render:render", "Write the files that a cluster and its pipelines need."),
    "schema": ("mainspring.entry.cli.schema:schema", "Print the JSON schema of the project file."),
    "step": ("mainspring.entry.cli.step:step", "Run one step of a run as a process."),
}
