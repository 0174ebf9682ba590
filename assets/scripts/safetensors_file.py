"""Reading and writing safetensors files with nothing but numpy.

The format: 8 bytes little-endian header length, a JSON header {name: {dtype, shape, data_offsets}},
then the tensors' bytes. https://huggingface.co/docs/safetensors describes it.
"""

import json
import os
import struct

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "U8": "|u1"}
CODES = {np.dtype(numpy_name): code for code, numpy_name in DTYPES.items()}


def write(path, tensors, metadata):
    """Write `{name: numpy array}` and string metadata; the order of `tensors` is kept."""
    header = {"__metadata__": metadata}
    blocks = []
    end = 0
    for name, array in tensors.items():
        # np.require would turn a scalar into shape (1,); asarray keeps its shape ().
        array = np.asarray(array, order="C")
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
        blocks.append(array.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start 8-byte aligned
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blocks))
    os.replace(partial, path)


def read(path):
    """`({name: numpy array}, metadata)` of a file this module's dtypes cover."""
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    data = content[8 + length :]
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = np.frombuffer(data[start:end], DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors, metadata
