"""Reads image archives: OCI layouts, and the format of `docker load`. In: a tar file. Verifies all digests; writes nothing."""

import gzip
import hashlib
import io
import json
import tarfile

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def sha256(data):
    """The digest of bytes, in the notation of image formats."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class _Archive:
    def __init__(self, path):
        self._tar = tarfile.open(path)  # pylint: disable=consider-using-with

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._tar.close()

    def _read(self, name):
        return self._tar.extractfile(name).read()


class OciArchive(_Archive):
    """An OCI layout with one manifest list; every blob that is read must have the digest and size of its descriptor."""

    def __init__(self, path):
        super().__init__(path)
        assert json.loads(self._read("oci-layout"))["imageLayoutVersion"] == "1.0.0", f"{path}: no OCI layout"
        (entry,) = json.loads(self._read("index.json"))["manifests"]
        self.name = entry["annotations"]["org.opencontainers.image.ref.name"]
        assert entry["mediaType"] == INDEX, f"{path}: {entry['mediaType']} is no manifest list"
        self._entries = {}
        for manifest in json.loads(self._blob(entry))["manifests"]:
            assert manifest["platform"]["os"] == "linux" and manifest["mediaType"] == MANIFEST, f"{path}: {manifest}"
            self._entries[manifest["platform"]["architecture"]] = manifest

    def _blob(self, descriptor):
        data = self._read("blobs/" + descriptor["digest"].replace(":", "/"))
        assert len(data) == descriptor["size"], f"{descriptor['digest']} has {len(data)} bytes, not {descriptor['size']}"
        assert sha256(data) == descriptor["digest"], f"{descriptor['digest']} has another digest"
        return data

    def architectures(self):
        """The architectures in the manifest list."""
        return list(self._entries)

    def digest(self, architecture):
        """The digest of the manifest of one architecture."""
        return self._entries[architecture]["digest"]

    def _manifest(self, architecture):
        return json.loads(self._blob(self._entries[architecture]))

    def config(self, architecture):
        """The image configuration, after checking that the layers match it."""
        manifest = self._manifest(architecture)
        config = json.loads(self._blob(manifest["config"]))
        digests = [sha256(gzip.decompress(self._blob(layer))) for layer in manifest["layers"]]
        assert digests == config["rootfs"]["diff_ids"], "the layers are not those of the configuration"
        return config

    def files(self, architecture):
        """Path to (tar member, content) over all layers."""
        found = {}
        for layer in self._manifest(architecture)["layers"]:
            assert layer["mediaType"] == GZIP_LAYER, f"a layer is {layer['mediaType']}"
            with tarfile.open(fileobj=io.BytesIO(gzip.decompress(self._blob(layer)))) as tar:
                for member in tar:
                    name = member.name.removeprefix("./").strip("/")
                    if name not in ("", "."):
                        found[name] = (member, tar.extractfile(member).read() if member.isfile() else None)
        return found

    def compressed_size(self, architecture):
        """The size of a pull: configuration and layers."""
        manifest = self._manifest(architecture)
        return manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"])


class DockerArchive(_Archive):
    """An archive in the format of `docker load`, with one image."""

    def __init__(self, path):
        super().__init__(path)
        (entry,) = json.loads(self._read("manifest.json"))
        self.names = entry["RepoTags"]
        self.config = json.loads(self._read(entry["Config"]))
        self._layers = entry["Layers"]

    def layer_digests(self):
        """The digests of the layers in the archive, which are not compressed."""
        return [sha256(self._read(layer)) for layer in self._layers]
