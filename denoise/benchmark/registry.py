"""Named sets of test images: where they are, and the SHA-256 of each file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from denoise.errors import ImageError

# fmt: off
_SET12 = {
    "01.png": "079229e13faff0a262a9d3eb9a7fa60868203f9b8545de6fb75aadf6fbca4296",
    "02.png": "576b2b3b6ff4d7e6c8ddccb0df645774f9b986c81219c28e16ba1935990a0b29",
    "03.png": "92de94d7b8ef9e645546821150eff5c765d0d29666f9bc7d20b61063f35c3305",
    "04.png": "839fb4770a5a71ab80f18b04a3521b7464451bb3d3e3c6555d538247599fe843",
    "05.png": "1707ee6fd18fe7d55a1ac7a2cc8818b1e5d5c4a1d6974d8cd4acc9e0f11025fc",
    "06.png": "02d125470b396b2c63fa428e65920a88e721d5558c54a5c0d25075c934bd0469",
    "07.png": "83d42aae735bde17c8e92e5c2544b07dd4ff2b77caaa64f5d3bcc34668f79597",
    "08.png": "f07124a0b4bb493660210c209070aa9c9187e9e085a9f026a51a2b9f57e25f15",
    "09.png": "764b8a2748cc7ad381cccc047c5e512cb528c197ba86adb83aa339e8932e66c0",
    "10.png": "18bea4de1634456f5791d16301863fc974401d144cd6afb86f09a6be4620fe54",
    "11.png": "a8791afbd2af4f977f30c3a9a72a50204264440c27b1f4bb282a085eb680abe1",
    "12.png": "f6acd12953db8c1f5a0dda53fef4233be37a61702cd22d5be742cf7c039021f2",
}
# fmt: on


@dataclass(frozen=True)
class NamedSet:
    """Files by name and SHA-256, and the address that their names are added to.

    None stands for a hash that is not known yet: such a file is taken as it comes.
    """

    base_url: str
    files: Mapping[str, str | None]


_DNCNN = "https://raw.githubusercontent.com/cszn/DnCNN"
# The address of bsd68 names a commit, whose files cannot change.
NAMED_SETS = {
    "set12": NamedSet(f"{_DNCNN}/master/testsets/Set12/", _SET12),
    "bsd68": NamedSet(
        f"{_DNCNN}/55fdeb2ac82c8c8cae6e281dae2b8e87e2d47a4d/testsets/BSD68/",
        {f"test{number:03}.png": None for number in range(1, 69)},
    ),
    "kodak24": NamedSet(
        "http://r0k.us/graphics/kodak/kodak/",
        {f"kodim{number:02}.png": None for number in range(1, 25)},
    ),
}


def download(name: str, *, folder: Path | None = None) -> list[Path]:
    """The files of a named set, fetched once and kept in the user's cache.

    Parameters
    ----------
    folder : instead of the cache

    Raises
    ------
    ImageError
        If a file cannot be fetched, or is not the one that the registry knows.
    """
    try:
        import pooch
    except ImportError:
        raise ImageError(
            f"--images {name}: downloading needs pooch; pip install '.[benchmark]' or give a folder"
        ) from None
    chosen = NAMED_SETS[name]
    store = pooch.create(
        path=folder or pooch.os_cache("denoise") / name,
        base_url=chosen.base_url,
        registry={
            file: None if digest is None else f"sha256:{digest}"
            for file, digest in chosen.files.items()
        },
    )
    pooch.get_logger().setLevel("ERROR")
    try:
        return [Path(store.fetch(file)) for file in chosen.files]
    except (OSError, ValueError) as error:  # no network; another file than expected
        reason = str(error).splitlines()[0]
        raise ImageError(
            f"--images {name}: cannot be downloaded from {chosen.base_url}: {reason}; give a folder"
            " that holds the images"
        ) from None


def known_name(sha256: str) -> str | None:
    """Set and file of a known image, such as "set12/02.png"."""
    for name, one in NAMED_SETS.items():
        for file, digest in one.files.items():
            if digest == sha256:
                return f"{name}/{file}"
    return None
