"""What a model exported by `frostline export` says of photos: python classify.py MODEL.onnx PHOTO...

Needs onnxruntime and pillow. The graph takes a decoded photo of any size and holds all preprocessing.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model = onnxruntime.InferenceSession(sys.argv[1])
classes = json.loads(model.get_modelmeta().custom_metadata_map["classes"])
for path in sys.argv[2:]:
    photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    probabilities = model.run(None, {"image": np.asarray(photo)})[0]
    best = probabilities.argmax()
    print(f"{path}  {classes[best]}  {probabilities[best]:.1%}")
