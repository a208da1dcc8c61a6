# SPDX-License-Identifier: Apache-2.0
"""
Owns the installation of the reference, called by meson: pages, which may be links to each other.

    install.py REFERENCE MANDIR HTMLDIR    folders are below the prefix unless they are absolute
"""

import os
import shutil
import sys
from pathlib import Path


def below(folder):
    """A folder of the prefix, or an absolute one, inside of DESTDIR."""
    if os.path.isabs(folder):
        return Path(os.environ.get("DESTDIR", "") + folder)
    return Path(os.environ["MESON_INSTALL_DESTDIR_PREFIX"]) / folder


def install(source, target):
    """Copies the files of a folder; one that is there is replaced, not written into."""
    target.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in source.iterdir())
    for name in names:
        (target / name).unlink(missing_ok=True)
        shutil.copyfile(source / name, target / name, follow_symlinks=False)
        if not (target / name).is_symlink():
            (target / name).chmod(0o644)
    if "MESON_INSTALL_QUIET" not in os.environ:
        print(f"Installing {len(names)} files to {target}")


def main():
    reference, mandir, htmldir = sys.argv[1:]
    if not (Path(reference) / "html" / "index.html").is_file():
        sys.exit(f"{reference}: not built; remedy: ninja reference.stamp, or meson install without --no-rebuild")
    for section in ("man3", "man7"):
        install(Path(reference) / "man" / section, below(mandir) / section)
    install(Path(reference) / "html", below(htmldir))


if __name__ == "__main__":
    main()
