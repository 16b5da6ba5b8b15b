"""A second encoder: rebuilds each archive given, or in a folder given, from its names, modes and contents with Python's
zipfile, and demands the same bytes. Leaves out whether the contents are right, and ZIP64, which
zipfile writes with other version numbers."""

import io
import sys
import zipfile
from pathlib import Path


def rebuild(path):
    original = open(path, "rb").read()
    source = zipfile.ZipFile(io.BytesIO(original))
    assert source.testzip() is None, f"{path}: a CRC is wrong"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for info in sorted(source.infolist(), key=lambda info: info.filename.encode()):
            entry = zipfile.ZipInfo(info.filename, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.create_version = entry.extract_version = 10
            entry.external_attr = info.external_attr
            assert info.external_attr in (0o100644 << 16, 0o100755 << 16), f"{path}: mode of {info.filename}"
            target.writestr(entry, source.read(info))
    assert out.getvalue() == original, f"{path}: the second encoder disagrees"


paths = [path for name in sys.argv[1:] for path in (sorted(Path(name).iterdir()) if Path(name).is_dir() else [name])]
for path in paths:
    rebuild(path)
print(f"{len(paths)} archives agree")
