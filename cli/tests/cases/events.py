#!/usr/bin/env python3
"""The event file of a short run, by TensorBoard's own writer: events.out.tfevents.golden.

Needs Python's `tensorboard` (2.21 made the file). With an argument, prints what TensorBoard reads in that
folder or file, as JSON: {tag: [[step, value], ...]}.
"""

import json
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

TIME = 1.5e9
STEPS = [
    (0, {"val_loss": 1.25, "val_accuracy": 0.75}),
    (1, {"lr": 1e-3, "loss": 0.7, "accuracy": 0.0}),
    (2, {"lr": 0.02, "loss": 1e-8, "accuracy": 0.0}),
    (2, {"val_loss": 0.1, "val_accuracy": 0.75}),
]


def write(path):
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=TIME, file_version="brain.Event:2").SerializeToString())
        for step, values in STEPS:
            value = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            event = Event(wall_time=TIME, step=step, summary=Summary(value=value))
            writer.write(event.SerializeToString())


def read(path):
    events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
    return {tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


if len(sys.argv) > 1:
    print(json.dumps(read(sys.argv[1])))
else:
    write(Path(__file__).parent / "events.out.tfevents.golden")
