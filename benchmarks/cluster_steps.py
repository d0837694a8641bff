"""What the tasks of `cluster.py` do; a module of its own, since nodes import it by name."""

from labse.files.atomic import sha256_file
from labse.files.stage import Result


def hash_step(path: str, *, number: int) -> Result:
    """Hashes a file, some seconds' work or none."""
    return {"number": number, "sha256": sha256_file(path)}
