"""Pure codecs, one file a protocol: bytes to a `Question`, an `Answer` to bytes. They know no model and no framework.

A transport wires these paths. NAME is a model; a path without one is for the fleet's only model. The first table is of
POST, the second of GET.

| codec | path | policy |
|---|---|---|
| `v2.V2` | `/v2/models/NAME/infer`, `/v2/models/NAME/versions/N/infer` | predict |
| `v1.V1` | `/v1/models/NAME:predict` | predict |
| (`v1.encode_explanation`) | `/v1/models/NAME:explain`, decoded by `v1.V1` | predict |
| `seldon.SELDON` | `/api/v1.0/predictions`, `/seldon/NAMESPACE/DEPLOYMENT/api/v1.0/predictions` | predict |
| `mlflow.MLFLOW` | `/invocations` (application/json or text/csv) | predict |
| `feedback.OURS` | `/v1/feedback`, `/v1/models/NAME:feedback` | label |
| `feedback.SELDON_FEEDBACK` | `/api/v1.0/feedback`, `/seldon/NAMESPACE/DEPLOYMENT/api/v1.0/feedback` | label |

| document | path | policy |
|---|---|---|
| `v2_answers.model_metadata` | `/v2/models/NAME`, `/v2/models/NAME/versions/N` | metadata |
| `{"models": [NAME, ...]}`, `{"name": NAME, "ready": true}` | `/v1/models`, `/v1/models/NAME` | metadata |
| 200 with an empty body | `/ping`, `/health` (MLflow), `/health/status`, `/health/ping` (Seldon) | open |
| the version as text | `/version` (MLflow) | metadata |

Errors are `v2_answers.error_document`; on Seldon's paths with `seldon.error_status` as its member `status`.
`Codec.media` lists the content types that a codec reads; none sent means the first of them.
"""

from mainspring.serve.protocols.mlflow import MLFLOW
from mainspring.serve.protocols.seldon import SELDON
from mainspring.serve.protocols.v1 import V1
from mainspring.serve.protocols.v2 import V2

__all__ = ["CODECS", "MLFLOW", "SELDON", "V1", "V2"]

CODECS = {codec.name: codec for codec in (V2, V1, SELDON, MLFLOW)}
