"""Read RTTM files as pyannote does, in the environment of ``tests/tools/pyannote.in``.

``python read_rttm.py FILE…`` prints, for each file, its turns as JSON: start and duration in
seconds, and speaker.
"""

import json
import sys
from pathlib import Path

from pyannote.database.util import load_rttm

for path in sys.argv[1:]:
    # pandas refuses an empty file.
    annotations = load_rttm(path) if Path(path).stat().st_size else {}
    turns = [
        (segment.start, segment.duration, speaker)
        for annotation in annotations.values()
        for segment, _, speaker in annotation.itertracks(yield_label=True)
    ]
    print(json.dumps({"uris": list(annotations), "turns": turns}))
