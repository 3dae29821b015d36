"""Paths of a project, relative to its folder: what stages read and write, and what commands keep.

Settings are elsewhere: ``params.yaml`` and ``recipes/`` belong to ``sadcl.params``.
"""

from pathlib import Path

_DATA = Path("data")
RAW = _DATA / "raw"
SCENES = RAW / "scenes"
TABLE = _DATA / "table" / "annotations.parquet"
SHARDS = _DATA / "shards"
TRAIN_SHARDS, SELECT_SHARDS, TEST_SHARDS = (SHARDS / split for split in ("train", "select", "test"))

# What people have accepted; committed to git.
BASELINE = _DATA / "accepted.json"
CHAMPION = _DATA / "champion.json"
CHAMPION_FOLDER = _DATA / "champion"
AUDIT_LOG = _DATA / "audit.jsonl"

MODELS = Path("models")
PRETRAIN = MODELS / "pretrain"
PRETRAIN_WEIGHTS, PRETRAIN_HISTORY = PRETRAIN / "weights.safetensors", PRETRAIN / "history.csv"
PROBE_WEIGHTS, PROBE_HISTORY = MODELS / "probe" / "weights.safetensors", MODELS / "probe" / "history.csv"
PROTOTYPES = MODELS / "prototypes.safetensors"
TRAIN = MODELS / "train"
TRAIN_WEIGHTS, TRAIN_HISTORY = TRAIN / "weights.safetensors", TRAIN / "history.csv"
SERVED = MODELS / "served"
IMPORTED = MODELS / "imported"

REPORTS = Path("reports")
VALIDATION, DATA_DOCS = REPORTS / "validation.json", REPORTS / "data_docs"
SELECT_SCORES, SCORES = REPORTS / "select_scores.parquet", REPORTS / "scores.parquet"
CHAMPION_SCORES = REPORTS / "champion_scores.parquet"
SHOWN_PHOTOS = REPORTS / "shown_photos.safetensors"
METRICS, VERDICT = REPORTS / "metrics.json", REPORTS / "verdict.json"
MODEL_REPORT, DATA_REPORT = REPORTS / "report.html", REPORTS / "data.html"
PLOTS = REPORTS / "plots"
LABEL_ERRORS = REPORTS / "label_errors.csv"

# Kept on this machine alone; never committed.
LOCAL = Path(".sadcl")
CACHE = LOCAL / "cache"
FEATURE_CACHE = CACHE / "maps"
SHARD_CACHE, ENCODED_SHARDS = CACHE / "shards", CACHE / "encoded"
SCORING_CACHE = CACHE / "scores"
REGISTRY_STATUS = CACHE / "registry.json"
TRAINING_STATE = LOCAL / "state"
LAST_RUNS = LOCAL / "runs"
WORKTREES = LOCAL / "worktrees"
DOWNLOADS = LOCAL / "downloads"
REVIEW_CACHE = LOCAL / "review"
VERIFIED_SCORES = LOCAL / "verified"
TEAM = LOCAL / "team"
PREFECT_HOME = LOCAL / "prefect"
PREFECT_DEPLOYMENTS = LOCAL / "prefect.yaml"
OPTUNA_DATABASE = LOCAL / "optuna.db"
MLFLOW_DATABASE = LOCAL / "mlflow.db"
REGISTRY_LOCK = LOCAL / "registry.lock"
RETRAIN_LOCK = LOCAL / "retrain.lock"
OPERATIONS = LOCAL / "operations"
RUNS_UNDER_WAY = OPERATIONS / "runs"
SCHEDULE = OPERATIONS / "schedule.json"
NOTIFICATIONS = OPERATIONS / "notifications"

WRITTEN_BY_STAGES = (TABLE.parent, SHARDS, CHAMPION_FOLDER, MODELS, REPORTS)
