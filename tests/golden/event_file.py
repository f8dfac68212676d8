"""An event file of two steps as the `tensorboard` package writes it: python tests/golden/event_file.py"""

import base64
import json
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class Bytes:
    def __init__(self):
        self.data = b""

    def write(self, piece):
        self.data += piece


out = Bytes()
writer = RecordWriter(out)
writer.write(Event(wall_time=1000.5, file_version="brain.Event:2").SerializeToString())
for step, values in ((1, {"loss": 0.6931471805599453, "rewards/margins": -2.5}), (300, {"eval_loss": 1e-30})):
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
    writer.write(Event(wall_time=1001.25, step=step, summary=summary).SerializeToString())
path = Path(__file__).parent.parent / "fixtures" / "tensorboard.json"
path.write_text(json.dumps(base64.b64encode(out.data).decode()) + "\n")
