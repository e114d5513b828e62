"""The picture that the simulated Graph has from the start, under a known id: events/ are about it."""

import base64

MEDIA_ID = "400000000000001"
MIME_TYPE = "image/png"
CONTENT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAGAAAABgCAMAAADVRocKAAAABlBMVEX///8fqFU/Z6SpAAAAV0lEQVR42u3YMQ0AMAzAsI4/6SHY10g7HAL+My"
    "NJkr7rLAUAAAAAAAAAAAAAAAAAAHhD9dapv1E9purzVa+1+t3Vc7C+j/XerP9pPWjrA1wvZpddkrTcBfY8DVpLYdY8AAAAAElFTkSuQmCC"
)
