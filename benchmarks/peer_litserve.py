"""LitServe with headstart's decoder and engine behind it, as its documents write a server.

    python peer_litserve.py RUN PORT BATCH

One worker process, since the engine keeps all cores busy. BATCH above 1 switches batching on.
"""

# No `annotations` from the future: LitServe looks at what these are.
import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from fastapi import Request

from headstart import pipeline
from headstart.inference.predictor import Prediction


class Cells(litserve.LitAPI):  # type: ignore[misc]
    """Decoded and answered in the worker, which LitServe starts."""

    def __init__(self, run: Path, **options: Any) -> None:
        super().__init__(api_path="/v1/predict", **options)
        self.run = run

    def setup(self, device: str) -> None:
        self.predictor = pipeline.load(self.run)

    def decode_request(self, request: Request) -> np.ndarray:
        return self.predictor.square(request["file"].file.read())

    def predict(self, squares: np.ndarray) -> list[Prediction] | Prediction:
        if squares.ndim == 4:
            return self.predictor.answers(list(squares))
        return self.predictor.answers([squares])[0]

    def encode_response(self, output: Prediction) -> dict[str, Any]:
        return vars(output)


def main() -> None:
    """Serves until it is ended."""
    run, port, batch = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    api = Cells(run, max_batch_size=batch, batch_timeout=0.01 if batch > 1 else 0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
