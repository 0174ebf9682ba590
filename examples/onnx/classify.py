"""Predictions of a model exported by `frostline export` for photos: python classify.py MODEL.onnx PHOTO...

Needs onnxruntime and pillow. The graph takes a decoded photo of any size and contains all preprocessing.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def decoded(path):
    """The pixels (height, width, 3) as frostline decodes them: EXIF orientation applied, white background."""
    image = ImageOps.exif_transpose(Image.open(path))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    model = onnxruntime.InferenceSession(sys.argv[1])
    classes = json.loads(model.get_modelmeta().custom_metadata_map["classes"])
    for path in sys.argv[2:]:
        probabilities = model.run(None, {"image": decoded(path)})[0]
        best = probabilities.argmax()
        print(f"{path}: {classes[best]} {probabilities[best]:.1%}")
