"""The list of an image's parts as CycloneDX 1.6 JSON (``sbom.cdx.json``), the same bytes for the same parts.

Contract: every package with version, licence as its own metadata tells it, and the hash of the archive it came in.
Non-goals: libraries that a wheel or a Debian package carries inside, and known vulnerabilities (a scanner that reads
this file knows them). SATRE 2.7.01.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

SBOM = "sbom.cdx.json"
_NAMESPACE = uuid.UUID("6f0c1f5e-3a43-5f5f-9d0e-0c4a5b0f7a11")


@dataclass(frozen=True, order=True)
class Part:
    """One package of an image. ``kind``: the package URL's type, pypi or deb; ``licence``: SPDX expression or name."""

    kind: str
    name: str
    version: str
    licence: str
    archive: str
    sha256: str
    architecture: str = ""


def write_sbom(file: Path, image: str, version: str, parts: Iterable[Part], epoch: int) -> None:
    """Write the list of ``image``'s parts; its time and serial number follow from what it says."""
    listed = sorted(parts)
    bom = Bom(components=[_component(part) for part in listed])
    bom.serial_number = uuid.uuid5(_NAMESPACE, repr((image, version, epoch, listed)))
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    bom.metadata.component = Component(
        type=ComponentType.CONTAINER, name=f"enclave-{image}", version=version, bom_ref=f"enclave-{image}"
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    file.write_text(JsonV1Dot6(bom).output_as_string(indent=1) + "\n")


def _component(part: Part) -> Component:
    vendor = "debian" if part.kind == "deb" else None
    qualifiers = {"arch": part.architecture} if part.architecture else None
    purl = PackageURL(part.kind, vendor, part.name, part.version, qualifiers)
    return Component(
        type=ComponentType.LIBRARY,
        name=part.name,
        version=part.version,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=[_licence(part.licence)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)],
        properties=[Property(name="enclave:archive", value=part.archive)],
    )


def _licence(text: str) -> License:
    return LicenseFactory().make_from_string(text)
