"""Flask as its tutorials write it: Keras's `predict` in a view, and the server that `app.run` starts.

    python peer_flask.py RUN PORT

The graph is that of the run as a Keras model, the decoder is headstart's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import flask

from headstart.data import images
from headstart.exports.keras_formats import whole
from headstart.inference import bundle


def application(run: Path) -> flask.Flask:
    """One view, which answers for one picture."""
    loaded = bundle.load(run / "model")
    spec, model = loaded.spec, whole(loaded.spec, loaded.arrays())
    app = flask.Flask(__name__)

    @app.post("/v1/predict")
    def predict() -> flask.Response:
        square = images.square(flask.request.files["file"].read(), spec.image_size, spec.fit)
        probabilities = model.predict(square[None], verbose=0)[0]
        best = int(probabilities.argmax())
        return flask.jsonify(label=spec.class_names[best], confidence=float(probabilities[best]))

    return app


if __name__ == "__main__":
    application(Path(sys.argv[1])).run(port=int(sys.argv[2]))
