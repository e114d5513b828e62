"""Public keys at CloudFront: those that are named after one stack."""

from typing import TYPE_CHECKING

from signing_key import names

if TYPE_CHECKING:
    from mypy_boto3_cloudfront import CloudFrontClient
    from mypy_boto3_cloudfront.type_defs import PublicKeyConfigTypeDef

    from signing_key.key_pair import KeyPair


class PublicKeys:
    """The public keys of one owner (`names.owner`). Every method may raise botocore's errors."""

    def __init__(self, client: "CloudFrontClient", owner: str) -> None:
        self._client = client
        self._owner = owner

    def names(self) -> dict[str, str]:
        """Give the names of the owner's keys by their ids."""
        pages = self._client.get_paginator("list_public_keys").paginate()
        found = [item for page in pages for item in page["PublicKeyList"].get("Items", ())]
        return {item["Id"]: item["Name"] for item in found if names.belongs(item["Name"], self._owner)}

    def has(self, key_id: str) -> bool:
        """Tell whether CloudFront knows a key, whoever's it is."""
        return self._etag(key_id) is not None

    def add(self, pair: "KeyPair") -> str:
        """Let CloudFront know a pair's public half, and give its id.

        https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreatePublicKey.html
        """
        config: PublicKeyConfigTypeDef = {"CallerReference": pair.name, "Name": pair.name, "EncodedKey": pair.public}
        return self._client.create_public_key(PublicKeyConfig=config)["PublicKey"]["Id"]

    def remove(self, key_id: str) -> bool:
        """Delete a key. False says that it has to stay, since a key group still names it."""
        etag = self._etag(key_id)
        if etag is None:
            return True
        try:
            self._client.delete_public_key(Id=key_id, IfMatch=etag)
        except self._client.exceptions.PublicKeyInUse:
            return False
        except self._client.exceptions.NoSuchPublicKey:
            return True
        return True

    def _etag(self, key_id: str) -> str | None:
        try:
            return self._client.get_public_key(Id=key_id)["ETag"]
        except self._client.exceptions.NoSuchPublicKey:
            return None
