"""What the tests of the documentation are made of, which is beside no package."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
