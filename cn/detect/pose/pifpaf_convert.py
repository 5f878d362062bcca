"""Conversion of OpenPifPaf's published files to safetensors.

The published files are whole networks in pickles. They are read without executing anything; their license (AGPL-3.0)
also holds for the converted files.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cn.archives.archive import Archive
    from cn.archives.write import Item

METADATA = "cn.detector"
"""Metadata key of a converted file for the description (JSON) of the network and its source."""


def safetensors_of(archive: "Archive") -> "tuple[dict[str, Item], dict[str, str]]":
    """The tensors of a published file, unchanged and with the same names, and the metadata of a safetensors file.

    The metadata holds the network, the license, and the name and hash of the published file. Raises what `load_net`
    raises.
    """
    from cn import files
    from cn.archives.metadata import encode
    from cn.archives.write import copied
    from cn.detect import registry
    from cn.detect.nets.loading import load_net
    from cn.weights import catalog

    spec = registry.spec_of(type(load_net("openpifpaf", archive)).__name__)
    description = {
        "kind": "openpifpaf",
        "network": spec.class_name,
        "source": archive.path.name,
        "source_sha256": files.sha256(archive.path),
        "license": catalog.find(spec.weights[0]).license,
    }
    items = {name: copied([entry], entry.shape) for name, entry in archive.entries.items()}
    return items, {"format": "pt"} | encode(description, METADATA)
